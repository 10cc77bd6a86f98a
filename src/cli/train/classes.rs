//! `ocellus train classes`: from pictures to examples.

use super::folders::{Folders, Photo};
use crate::cli::batch::{self, Options};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input::Source;
use crate::preprocess::Part;
use crate::recipe;
use crate::tasks::embed::Embedder;
use crate::train::augment::Augment;
use crate::train::classes::Example;
use std::path::Path;

/// How a picture becomes features.
#[derive(Debug)]
pub struct Looker {
    /// The network.
    pub embedder: Embedder,
    /// What is cut out of the picture first.
    pub part: Option<Part>,
    /// The views of pictures that are learned from.
    pub augment: Augment,
}

impl Looker {
    /// The features of the views of `photo`, the picture as it is first.
    fn features_of(&self, photo: &Image, augment: Augment) -> Result<Vec<Vec<f32>>> {
        let views = match &self.part {
            Some(part) => augment.views(&part.cut(photo)?)?,
            None => augment.views(photo)?,
        };
        views.iter().map(|view| self.embedder.embed(view)).collect()
    }

    /// The examples of `set`, those to learn from and those to measure on. Pictures that cannot be read leave the set.
    pub fn examples(&self, set: &mut Folders, options: Options) -> Result<(Vec<Example>, Vec<Example>)> {
        let count = set.train.len();
        let photos: Vec<Photo> = set.train.iter().chain(&set.val).cloned().collect();
        let sources: Vec<Source> = photos.iter().map(|p| p.source.clone()).collect();
        let (mut train, mut val, mut unreadable) = (Vec::new(), Vec::new(), Vec::new());
        batch::run(
            &sources,
            options,
            |at, photo| self.features_of(&photo, if at < count { self.augment } else { Augment::None }),
            |at, result| {
                match result {
                    Ok(views) => {
                        let part = if at < count { &mut train } else { &mut val };
                        part.push(Example { class: photos[at].class, views });
                    }
                    Err(error) => unreadable.push((at, error.one_line())),
                }
                Ok(())
            },
        )?;
        set.drop_unreadable(&unreadable);
        Ok((train, val))
    }
}

/// The part that `--region`, or `--recipe` with the name of one of its regions, says.
pub fn part(recipe: Option<&Path>, region: Option<&str>) -> Result<Option<Part>> {
    let wrong = |why: String| Error::Usage(format!("--region {why}"));
    let Some(folder) = recipe else { return region.map(|r| r.parse().map_err(wrong)).transpose() };
    // A path of recipe.toml itself is as good as its folder's.
    let folder =
        if folder.file_name().is_some_and(|n| n == recipe::FILE) { folder.parent().unwrap_or(folder) } else { folder };
    let recipe = recipe::Folder::read(folder)?.recipe;
    let known = recipe.regions.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
    let Some(name) = region else {
        return Err(Error::Usage(format!("--recipe needs --region with the name of one of its regions: {known}")));
    };
    let region = recipe.regions.iter().find(|r| r.name == name);
    let region = region.ok_or_else(|| wrong(format!("{name:?}: the recipe has {known}")))?;
    Part::of(&region.bounds(), recipe.golden.width, recipe.golden.height).map(Some).map_err(wrong)
}
