//! What the integration tests share: running the program, temporary folders, pictures, one recipe a test binary.
#![allow(dead_code)]

use serde_json::Value;
use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Output {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// The records on standard output.
    pub fn records(&self) -> Vec<Value> {
        self.stdout.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// The only record on standard output.
    pub fn record(&self) -> Value {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{self:?}");
        records.remove(0)
    }

    /// Asserts exit code 2 and one line of error that says each of `words`.
    #[track_caller]
    pub fn assert_error(&self, words: &[&str]) {
        assert_eq!(self.code, Some(2), "{self:?}");
        let lines: Vec<&str> = self.stderr.lines().collect();
        assert_eq!(lines.len(), 1, "one line expected: {self:?}");
        assert!(lines[0].starts_with("ocellus: error: "), "{self:?}");
        for word in words {
            assert!(lines[0].contains(word), "{word:?} expected in {self:?}");
        }
    }

    /// Asserts the exit code and that nothing was complained about.
    #[track_caller]
    pub fn assert_quiet(&self, code: i32) {
        assert_eq!((self.code, self.stderr.as_str()), (Some(code), ""), "{self:?}");
    }
}

/// The program under test: the one that cargo built for this machine, or the command line in `OCELLUS_BINARY`, such as
/// `qemu-aarch64-static /path/to/ocellus`, so that the same tests run on a program built for another processor.
pub fn ocellus() -> Command {
    let Ok(line) = std::env::var("OCELLUS_BINARY") else { return native() };
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().expect("OCELLUS_BINARY is empty"));
    command.args(words).env_remove("OCELLUS_LOG");
    command
}

/// The program that cargo built for this machine.
pub fn native() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ocellus"));
    command.env_remove("OCELLUS_LOG");
    command
}

/// Runs the program with `args` and nothing on standard input.
pub fn run<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Output {
    finish(ocellus().args(args), b"")
}

/// Runs `command` with `stdin` on standard input.
pub fn finish(command: &mut Command, stdin: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("cannot start");
    let mut pipe = child.stdin.take().expect("no stdin");
    let bytes = stdin.to_vec();
    // The program may end without reading all of it.
    let writer = std::thread::spawn(move || drop(pipe.write_all(&bytes)));
    let out = child.wait_with_output().expect("cannot wait");
    writer.join().expect("writer");
    Output {
        code: out.status.code(),
        stdout: String::from_utf8(out.stdout).expect("stdout is not UTF-8"),
        stderr: String::from_utf8(out.stderr).expect("stderr is not UTF-8"),
    }
}

/// A path in the repository.
pub fn repo(path: &str) -> String {
    format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))
}

/// A path in examples/connector.
pub fn connector(path: &str) -> String {
    repo(&format!("examples/connector/{path}"))
}

pub fn temp() -> tempfile::TempDir {
    tempfile::tempdir().expect("no temporary folder")
}

/// `folder/name` as text.
pub fn at(folder: impl AsRef<Path>, name: &str) -> String {
    folder.as_ref().join(name).to_str().expect("UTF-8").to_string()
}

/// Names of the files in a folder, sorted.
pub fn names(folder: impl AsRef<Path>) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("cannot list")
        .map(|e| e.expect("entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Learns a recipe from the connector's good pictures once; the folder is under target/tmp, one a test binary.
fn learned(name: &str, args: &[&str]) -> PathBuf {
    let exe = std::env::current_exe().expect("exe");
    let stem = exe.file_stem().expect("stem").to_string_lossy().into_owned();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{stem}-{name}"));
    let out = folder.to_str().expect("UTF-8");
    let goods = connector("good");
    let mut all = vec!["learn", "--force", "--quiet", "--out", out];
    all.extend(args);
    all.push(&goods);
    finish(native().args(all), b"").assert_quiet(0);
    folder
}

/// A recipe without a network over the whole picture: quick.
pub static CLASSICAL: LazyLock<PathBuf> = LazyLock::new(|| learned("classical", &["--method", "classical"]));
/// A recipe of the default method over the whole picture.
pub static PATCH: LazyLock<PathBuf> = LazyLock::new(|| learned("patch", &[]));

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A copy of a recipe folder, to be spoilt.
pub fn copy_recipe(recipe: &Path) -> (tempfile::TempDir, String) {
    let folder = temp();
    let copy = folder.path().join("recipe");
    std::fs::create_dir(&copy).expect("mkdir");
    for name in names(recipe) {
        std::fs::copy(recipe.join(&name), copy.join(&name)).expect("copy");
    }
    let path = text(&copy).to_string();
    (folder, path)
}

/// Replaces `from`, which must be there, by `to` in recipe.toml.
pub fn edit_recipe(recipe: &str, from: &str, to: &str) {
    let file = at(recipe, "recipe.toml");
    let old = std::fs::read_to_string(&file).expect("recipe.toml");
    assert!(old.contains(from), "{from:?} is not in {old}");
    std::fs::write(&file, old.replacen(from, to, 1)).expect("write");
}

/// A PNG of the given header whose image data is `rows` (with filter bytes), stored uncompressed; `extra` chunks come
/// between header and data.
pub fn png(width: u32, height: u32, depth: u8, colour: u8, extra: &[(&[u8; 4], &[u8])], rows: &[u8]) -> Vec<u8> {
    let chunk = |kind: &[u8; 4], data: &[u8]| {
        let body = [&kind[..], data].concat();
        [&(data.len() as u32).to_be_bytes()[..], &body, &crc32(&body).to_be_bytes()].concat()
    };
    assert!(rows.len() < 65536);
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[depth, colour, 0, 0, 0]].concat();
    let length = rows.len() as u16;
    let zlib = [&[0x78, 1, 1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), rows, &adler32(rows).to_be_bytes()]
        .concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(b"IHDR", &header));
    extra.iter().for_each(|(kind, data)| bytes.extend(chunk(kind, data)));
    bytes.extend(chunk(b"IDAT", &zlib));
    bytes.extend(chunk(b"IEND", b""));
    bytes
}

fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, &b| {
        (0..8).fold(crc ^ b as u32, |c, _| if c & 1 == 1 { c >> 1 ^ 0xedb8_8320 } else { c >> 1 })
    })
}

fn adler32(bytes: &[u8]) -> u32 {
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), &v| {
        let a = (a + v as u32) % 65521;
        (a, (b + a) % 65521)
    });
    b << 16 | a
}

/// `jpeg` with an EXIF segment that says `orientation`.
pub fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    assert_eq!(jpeg[..2], [0xff, 0xd8]);
    let mut tiff = b"Exif\0\0MM\0\x2a\0\0\0\x08".to_vec();
    // One entry: tag 0x0112, type SHORT, count 1, the value left-aligned; no further directory.
    tiff.extend([0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, orientation, 0, 0, 0, 0, 0, 0]);
    let length = (tiff.len() as u16 + 2).to_be_bytes();
    [&jpeg[..2], &[0xff, 0xe1], &length, &tiff, &jpeg[2..]].concat()
}

/// `picture` as a JPEG of high quality.
pub fn jpeg(picture: &image::RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95).encode_image(picture).expect("encode");
    bytes
}
