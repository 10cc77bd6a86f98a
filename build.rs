//! Checks every embedded model against models/models.toml (hash, licence, cargo feature) and writes the table of those
//! that are switched on. Nothing is downloaded.

#[allow(dead_code, missing_docs)]
#[path = "src/models/manifest.rs"]
mod manifest;

use manifest::{ALLOWED_LICENCES, Manifest, ModelInfo};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::{env, fs, process};

fn main() {
    println!("cargo::rerun-if-changed=models/models.toml");
    println!("cargo::rerun-if-changed=src/models/manifest.rs");
    if let Err(message) = write_table() {
        eprintln!("models/models.toml: {message}");
        process::exit(1);
    }
}

fn write_table() -> Result<(), String> {
    let root = env::var("CARGO_MANIFEST_DIR").map_err(|e| e.to_string())?;
    let out = env::var("OUT_DIR").map_err(|e| e.to_string())?;
    let folder = Path::new(&root).join("models");
    let text = fs::read_to_string(folder.join("models.toml")).map_err(|e| e.to_string())?;
    let manifest: Manifest = toml::from_str(&text).map_err(|e| e.to_string())?;
    let mut rows = String::new();
    // One static a file: two models can be outputs of the same network.
    let mut files: Vec<&str> = Vec::new();
    for model in &manifest.model {
        let feature = format!("CARGO_FEATURE_MODEL_{}", model.id.to_uppercase().replace('-', "_"));
        if env::var_os(feature).is_some() {
            let path = folder.join(&model.file);
            println!("cargo::rerun-if-changed={}", path.display());
            check(model, &path)?;
            let at = files.iter().position(|f| *f == model.file).unwrap_or(files.len());
            if at == files.len() {
                files.push(&model.file);
            }
            rows.push_str(&format!("    ({:?}, FILE_{at}),\n", model.id));
        }
    }
    let mut table = format!("pub(super) static EMBEDDED: &[(&str, &[u8])] = &[\n{rows}];\n");
    for (at, file) in files.iter().enumerate() {
        table.push_str(&format!("static FILE_{at}: &[u8] = include_bytes!({:?});\n", folder.join(file)));
    }
    fs::write(Path::new(&out).join("embedded_models.rs"), table).map_err(|e| e.to_string())
}

fn check(model: &ModelInfo, path: &Path) -> Result<(), String> {
    model.check().map_err(|message| format!("{}: {message}", model.id))?;
    if !ALLOWED_LICENCES.contains(&model.licence.as_str()) {
        return Err(format!(
            "{}: licence {:?} is not on the list of permissive licences {ALLOWED_LICENCES:?}",
            model.id, model.licence
        ));
    }
    let bytes = fs::read(path).map_err(|e| format!("{}: {}: {e}", model.id, path.display()))?;
    let found: String = Sha256::digest(&bytes).iter().map(|b| format!("{b:02x}")).collect();
    if found != model.sha256 {
        return Err(format!(
            "{}: {} has sha256 {found}, the manifest expects {}; run its script in tools/models/ again or correct the manifest",
            model.id,
            path.display(),
            model.sha256
        ));
    }
    Ok(())
}
