//! The recipes of a server: the folders in `--recipes`, read when it starts and again when one has changed or come.

use crate::cli::{batch, output, recipes, versions};
use crate::error::{Error, Result};
use crate::input::Limits;
use crate::recipe::{self, Folder};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// How often, and how long, a recipe that cannot be read is waited for: `learn --force` puts it in place in two steps.
const RETRIES: usize = 2;
const PAUSE: Duration = Duration::from_millis(100);

/// Who comes while a recipe changes is not kept waiting: learning takes minutes, and threads are few.
const BUSY: &str = "a recipe is being learned or changed; try again when that is done";

/// Whether a recipe may be called so: as regions are, but never like a hidden folder or one above.
pub fn is_name(name: &str) -> bool {
    recipe::is_region_name(name) && !name.starts_with('.')
}

/// All of them by name.
#[derive(Debug)]
pub struct Recipes {
    folder: Option<PathBuf>,
    limits: Limits,
    loaded: RwLock<BTreeMap<String, Arc<recipes::Loaded>>>,
    /// One change at a time.
    changing: Mutex<()>,
}

impl Recipes {
    /// Those in `folder`, none of which is read yet.
    pub fn new(folder: Option<PathBuf>, limits: Limits) -> Self {
        Recipes { folder, limits, loaded: RwLock::default(), changing: Mutex::default() }
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
    pub fn get(&self, name: &str) -> Result<Option<Arc<recipes::Loaded>>> {
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

    fn try_get(&self, name: &str) -> Result<Option<Arc<recipes::Loaded>>> {
        let Some(folder) = self.path(name) else {
            self.loaded.write().unwrap_or_else(PoisonError::into_inner).remove(name);
            return Ok(None);
        };
        let known = self.loaded.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(known) = known.filter(|k| recipes::hash(&folder).is_ok_and(|h| h == k.sha256)) {
            return Ok(Some(known));
        }
        let loaded = Arc::new(recipes::Loaded::read(&folder, self.limits)?);
        self.loaded.write().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), loaded.clone());
        Ok(Some(loaded))
    }

    /// The folder of the recipe of that name.
    ///
    /// # Errors
    /// There is none.
    pub fn folder(&self, name: &str) -> Result<PathBuf> {
        self.path(name).ok_or_else(|| Error::Usage(format!("there is no recipe {name:?}; see /v1/recipes")))
    }

    /// Learns a recipe anew with one more good picture; the hash of the version before, and the new version.
    pub fn learn_more(
        &self,
        name: &str,
        picture: &[u8],
        options: batch::Options,
    ) -> Result<(String, Arc<recipes::Loaded>)> {
        self.change(name, |folder| versions::learn_more(folder, picture, options))
    }

    /// Goes back to the version before; the hash of the one that is left, and the one that it is now.
    pub fn roll_back(&self, name: &str) -> Result<(String, Arc<recipes::Loaded>)> {
        self.change(name, versions::roll_back)
    }

    fn change(&self, name: &str, change: impl FnOnce(&Path) -> Result<()>) -> Result<(String, Arc<recipes::Loaded>)> {
        let _one = self.changing.try_lock().map_err(|_| Error::Input(BUSY.into()))?;
        let folder = self.folder(name)?;
        let before = recipes::hash(&folder)?;
        change(&folder)?;
        let now = self.get(name)?.ok_or_else(|| Error::recipe(name, "it is gone"))?;
        Ok((before, now))
    }

    /// Makes a recipe of that name of a draft's folder and returns its hash; none if there is one already.
    pub fn publish(&self, name: &str, draft: &Path) -> Result<Option<String>> {
        let _one = self.changing.try_lock().map_err(|_| Error::Input(BUSY.into()))?;
        let Some(folder) = self.folder.as_ref().map(|f| f.join(name)) else {
            return Err(Error::Usage(
                "the server has no folder for recipes; start it with --recipes or --state".into(),
            ));
        };
        if folder.exists() {
            return Ok(None);
        }
        // What cannot be read is not published.
        Folder::read(draft)?;
        versions::sync(draft)?;
        match std::fs::rename(draft, &folder) {
            // Recipes may lie on another disk than the state.
            Err(e) if e.kind() == std::io::ErrorKind::CrossesDevices => versions::copy(draft, &folder)?,
            other => other.map_err(|e| Error::io(&folder, "write", e))?,
        }
        recipes::hash(&folder).map(Some)
    }
}
