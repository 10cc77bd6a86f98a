//! The recipes of a server: the folders in `--recipes`, read when it starts and again when one has changed or come.

use crate::cli::{output, recipes};
use crate::error::{Error, Result};
use crate::input::Limits;
use crate::models::sha256_hex;
use crate::recipe::{self, Folder, Recipe};
use crate::tasks::inspect::Inspector;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How often, and how long, a recipe that cannot be read is waited for: `learn --force` puts it in place in two steps.
const RETRIES: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// A recipe that is ready to inspect with.
#[derive(Debug)]
pub struct Loaded {
    /// Its name: that of its folder.
    pub name: String,
    /// SHA-256 of its `recipe.toml`, which names the hashes of its memories.
    pub sha256: String,
    /// What it says.
    pub recipe: Recipe,
    /// What inspects by it.
    pub inspector: Inspector,
}

impl Loaded {
    /// The recipe in `folder`.
    pub fn read(folder: &Path, limits: Limits) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = hash(folder)?;
        let folder = Folder::read(folder)?;
        let inspector = recipes::inspector(&folder, limits)?;
        Ok(Loaded { name, sha256, recipe: folder.recipe, inspector })
    }
}

/// What tells one version of a recipe from another.
fn hash(folder: &Path) -> Result<String> {
    let file = folder.join(recipe::FILE);
    Ok(sha256_hex(&std::fs::read(&file).map_err(|e| Error::io(&file, "read", e))?))
}

/// Whether a recipe may be called so: as regions are, but never like a hidden folder or one above.
pub fn is_name(name: &str) -> bool {
    recipe::is_region_name(name) && !name.starts_with('.')
}

/// All of them by name.
#[derive(Debug)]
pub struct Recipes {
    folder: Option<PathBuf>,
    limits: Limits,
    loaded: RwLock<BTreeMap<String, Arc<Loaded>>>,
}

impl Recipes {
    /// Those in `folder`, none of which is read yet.
    pub fn new(folder: Option<PathBuf>, limits: Limits) -> Self {
        Recipes { folder, limits, loaded: RwLock::default() }
    }

    /// The names of the folders that hold a recipe, sorted.
    pub fn names(&self) -> Result<Vec<String>> {
        let Some(folder) = &self.folder else { return Ok(Vec::new()) };
        let failed = |e| Error::io(folder, "read", e);
        let entries =
            std::fs::read_dir(folder).map_err(failed)?.collect::<std::io::Result<Vec<_>>>().map_err(failed)?;
        let held = entries.iter().filter(|e| e.path().join(recipe::FILE).is_file());
        let mut names: Vec<String> = held.filter_map(|e| e.file_name().into_string().ok()).collect();
        names.retain(|n| is_name(n));
        names.sort();
        Ok(names)
    }

    /// Reads all. One that cannot be used is told of and left out: the others are wanted all the same.
    pub fn read(&self) -> Result<()> {
        for name in self.names()? {
            if let Err(error) = self.get(&name) {
                output::complain(&error);
            }
        }
        Ok(())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.as_ref().filter(|_| is_name(name))?.join(name);
        folder.join(recipe::FILE).is_file().then_some(folder)
    }

    /// The one of that name as it is on disk now; none where there is none. Inspections that run end with the one they began with.
    ///
    /// # Errors
    /// One that cannot be used; the fault is the recipe's, whatever kind of error it is.
    pub fn get(&self, name: &str) -> Result<Option<Arc<Loaded>>> {
        let mut found = self.try_get(name);
        for _ in 0..RETRIES {
            // It may be that it is being replaced.
            if found.is_ok() {
                break;
            }
            std::thread::sleep(PAUSE);
            found = self.try_get(name);
        }
        found.map_err(|error| match error {
            Error::Image { .. } | Error::Input(_) => Error::recipe(name, error.one_line()),
            other => other,
        })
    }

    fn try_get(&self, name: &str) -> Result<Option<Arc<Loaded>>> {
        let Some(folder) = self.path(name) else {
            self.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(name);
            return Ok(None);
        };
        let known = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(known) = known.filter(|k| hash(&folder).is_ok_and(|h| h == k.sha256)) {
            return Ok(Some(known));
        }
        let loaded = Arc::new(Loaded::read(&folder, self.limits)?);
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), loaded.clone());
        Ok(Some(loaded))
    }
}
