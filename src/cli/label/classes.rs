//! The ontology on disk with its templates.

use super::pictures;
use crate::cli::output;
use crate::dataset::{Object, Origin, Outline};
use crate::error::{Error, Result};
use crate::image::Image;
use crate::input::{Limits, Source};
use crate::models::sha256_hex;
use crate::ontology::Ontology;
use crate::tasks::label::{Matcher, Search, Template};
use std::path::{Path, PathBuf};

/// An ontology as it was read.
#[derive(Debug)]
pub struct Known {
    /// The classes.
    pub ontology: Ontology,
    /// The folder of the templates.
    folder: PathBuf,
    /// Hash of the text.
    hash: String,
    limits: Limits,
}

/// Templates, ready to be looked for.
#[derive(Debug)]
pub struct Symbols {
    matcher: Matcher,
    /// The class of each template.
    classes: Vec<usize>,
}

impl Known {
    /// Reads the ontology in `file`.
    pub fn read(file: &Path, limits: Limits) -> Result<Self> {
        let text = pictures::text(file)?;
        let ontology = Ontology::parse(file, &text)?;
        let folder = file.parent().unwrap_or(Path::new("")).join(&ontology.templates);
        Ok(Known { ontology, folder, hash: sha256_hex(text.as_bytes()), limits })
    }

    /// The classes that have templates, with their pictures.
    pub fn examples(&self) -> Result<Vec<(usize, Vec<Image>)>> {
        let load = |name: &String| self.source(name).load(&self.limits);
        let classes = self.ontology.classes.iter().enumerate().filter(|(_, c)| !c.templates.is_empty());
        let found: Vec<_> = classes
            .map(|(i, class)| Ok((i, class.templates.iter().map(load).collect::<Result<_>>()?)))
            .collect::<Result<_>>()?;
        match found.is_empty() {
            true => {
                Err(Error::Input("no class of the ontology has templates; add pictures of the symbols to it".into()))
            }
            false => Ok(found),
        }
    }

    /// The templates of all classes. A blank one is left out and said; one that cannot be read is an error.
    pub fn symbols(&self, search: &Search) -> Result<Symbols> {
        let (mut templates, mut classes) = (Vec::new(), Vec::new());
        for (class, pictures) in self.examples()? {
            for (picture, name) in pictures.iter().zip(&self.ontology.classes[class].templates) {
                match Template::new(picture) {
                    Ok(template) => {
                        templates.push(template);
                        classes.push(class);
                    }
                    Err(error) => {
                        let file = self.folder.join(name);
                        output::note(&format!("{}: {}; it is left out", file.display(), error.one_line()));
                    }
                }
            }
        }
        if templates.is_empty() {
            return Err(Error::Input("none of the ontology's templates can be used".into()));
        }
        // Read by tools/peers/label_calibration.py, as is the name of each picture.
        let names: Vec<&str> = classes.iter().map(|c| self.ontology.classes[*c].name.as_str()).collect();
        log::debug!("names {}", names.join(" "));
        Ok(Symbols { matcher: Matcher::new(templates, search)?, classes })
    }

    /// Classes with what a server is to be asked for.
    pub fn prompts(&self) -> Vec<(usize, &str)> {
        let classes = self.ontology.classes.iter().enumerate();
        classes.map(|(i, c)| (i, c.prompt.as_str())).filter(|(_, p)| !p.trim().is_empty()).collect()
    }

    /// A hash of the ontology and of all its templates.
    pub fn hash(&self) -> Result<String> {
        let mut all = self.hash.clone();
        for name in self.ontology.classes.iter().flat_map(|c| &c.templates) {
            all += &sha256_hex(&self.source(name).read()?);
        }
        Ok(sha256_hex(all.as_bytes()))
    }

    fn source(&self, name: &str) -> Source {
        Source::File(self.folder.join(name))
    }
}

impl Symbols {
    /// The symbols in a picture as labels.
    pub fn find(&self, picture: &Image) -> Vec<Object> {
        let matches = self.matcher.find(picture);
        let (width, height) = (picture.width(), picture.height());
        let object = |m: &crate::tasks::label::Match| Object {
            class: self.classes[m.template],
            outline: Outline::Box(m.rect.clip(width, height)),
            score: Some(m.score),
            origin: Origin::Templates,
            doubt: String::new(),
        };
        matches.iter().map(object).filter(|o| o.outline.rect().area() > 0.0).collect()
    }
}
