//! Templates in a folder: which there are, what is wrong with them, and the ontology made of them.

use crate::cli::batch::{self, Options};
use crate::cli::output;
use crate::error::{Error, Result};
use crate::input::{Source, expand};
use crate::ontology::Ontology;
use crate::report::labels::{Checked, Flaw};
use crate::tasks::label::{self, Template};
use std::path::{Component, Path};

/// Sides below this leave too little to tell symbols apart.
const SMALL: f32 = 16.0;

/// An ontology, and the templates that it was made of.
#[derive(Debug)]
pub struct Made {
    /// A class for each template that can be used.
    pub ontology: Ontology,
    /// All templates, in the order of their files.
    pub templates: Vec<Checked>,
}

/// Looks at all templates below `folder` for an ontology that is to be written to `out`.
pub fn ontology(folder: &str, out: &Path, force: bool, options: Options) -> Result<Made> {
    if !Path::new(folder).is_dir() {
        return Err(Error::Usage(format!("{folder}: is no directory; name the folder of the templates")));
    }
    output::check_file(out)?;
    if out.exists() && !force {
        return Err(Error::Usage(format!("{}: is there already; --force writes it anew", out.display())));
    }
    let sources = expand(&[folder.to_string()]);
    let (mut templates, mut looks): (Vec<Checked>, Vec<Option<Template>>) = (Vec::new(), Vec::new());
    batch::run(
        &sources,
        options,
        |_, picture| Ok(((picture.width(), picture.height()), Template::new(&picture))),
        |at, result| {
            let path = sources[at].name();
            let (size, found) = match result {
                Ok((size, found)) => (Some(size), found),
                Err(error) => {
                    batch::complain(&sources[at], &error);
                    templates.push(Checked { path, size: None, flaw: Some(Flaw::Unreadable(error.one_line())) });
                    looks.push(None);
                    return Ok(());
                }
            };
            let (flaw, look) = match found {
                Err(error) => (Some(Flaw::Blank(error.one_line())), None),
                Ok(look) => {
                    let twin = looks.iter().position(|l| l.as_ref().is_some_and(|other| label::same(&look, other)));
                    let small = look.size.0.max(look.size.1) < SMALL;
                    let twin = twin.map(|t| Flaw::Duplicate(templates[t].path.clone()));
                    (twin.or(small.then_some(Flaw::Small(look.size))), Some(look))
                }
            };
            templates.push(Checked { path, size, flaw });
            looks.push(look);
            Ok(())
        },
    )?;
    let below = |source: &Source| {
        let Source::File(path) = source else { return None };
        let parts = path.strip_prefix(folder).ok()?.components().map(|c| c.as_os_str().to_string_lossy().into_owned());
        Some(parts.collect::<Vec<_>>().join("/"))
    };
    let usable = sources.iter().zip(&looks).filter(|(_, look)| look.is_some());
    let files: Vec<String> = usable.filter_map(|(source, _)| below(source)).collect();
    if files.is_empty() {
        return Err(Error::Input(format!("{folder}: no template can be used; no ontology was written")));
    }
    Ok(Made { ontology: Ontology::from_files(&from(folder, out)?, &files), templates })
}

/// The folder of the templates as seen from the ontology's: relative where it lies beside or below it, so that both can
/// be moved together.
fn from(folder: &str, out: &Path) -> Result<String> {
    let real = |path: &Path| path.canonicalize().map_err(|e| Error::io(path, "read", e));
    let templates = real(Path::new(folder))?;
    let home = real(out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    let (there, here): (Vec<_>, Vec<_>) = (templates.components().collect(), home.components().collect());
    let shared = there.iter().zip(&here).take_while(|(a, b)| a == b).count();
    // Nothing but the root in common: another place altogether.
    if shared <= 1 {
        return Ok(templates.to_string_lossy().into_owned());
    }
    let up = here[shared..].iter().map(|_| Component::ParentDir);
    let parts = up.chain(there[shared..].iter().copied()).map(|c| c.as_os_str().to_string_lossy().into_owned());
    let path = parts.collect::<Vec<_>>().join("/");
    Ok(if path.is_empty() { ".".into() } else { path })
}
