//! What goes wrong in a factory: damaged pictures, spoilt recipes, places that cannot be read or written. Each gives one
//! clear line, exit code 2, and the rest of the batch is done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{CLASSICAL, Output, PATCH, at, connector, copy_recipe, edit_recipe, finish, names, png, run, temp, text};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

fn inspect(recipe: &str, pictures: &[&str]) -> Output {
    run(["inspect", "--recipe", recipe].iter().chain(pictures))
}

fn goods(count: usize) -> Vec<String> {
    (1..=count).map(|i| connector(&format!("good/{i:02}.jpg"))).collect()
}

fn learn(out: &str, more: &[&str], pictures: &[String]) -> Output {
    let args = ["learn", "--quiet", "--method", "classical", "--out", out];
    run(args.iter().chain(more).copied().chain(pictures.iter().map(String::as_str)))
}

/// Damaged pictures by name, with a word that must stand in the error.
fn bad_pictures() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let jpeg = std::fs::read(connector("good/01.jpg")).unwrap();
    let whole = std::fs::read(common::repo("tests/images/features/coffee.png")).unwrap();
    vec![
        ("headless.jpg", jpeg[..20].to_vec(), "damaged"),
        ("truncated.png", whole[..whole.len() / 2].to_vec(), "damaged"),
        ("empty.png", Vec::new(), "empty"),
        ("text.png", b"This is a text file, whatever its name says.\n".to_vec(), "not a picture"),
        ("huge.png", png(60_000, 60_000, 8, 2, &[], &[0; 100]), "megapixels"),
        ("nothing.png", png(0, 0, 8, 2, &[], &[]), "nothing.png"),
    ]
}

#[test]
fn damaged_pictures_do_not_stop_the_batch() {
    let folder = temp();
    let good = connector("test/good_01.jpg");
    for (name, bytes, word) in bad_pictures() {
        let file = at(&folder, name);
        std::fs::write(&file, bytes).unwrap();
        let start = Instant::now();
        let out = run(["inspect", "--json", "--recipe", text(&CLASSICAL), &file, &good]);
        assert!(start.elapsed() < Duration::from_secs(10), "{name}");
        out.assert_error(&[&file, word]);
        let records = out.records();
        assert_eq!(records.len(), 2, "{name}");
        assert_eq!((records[0]["status"].as_str(), records[0]["path"].as_str()), (Some("error"), Some(file.as_str())));
        assert!(records[0]["error"].as_str().unwrap().contains(word), "{}", records[0]);
        assert_eq!(records[1]["verdict"], "pass", "{name}");
    }
}

#[test]
fn damaged_pictures_have_no_vector() {
    let folder = temp();
    for (name, bytes, word) in bad_pictures() {
        let file = at(&folder, name);
        std::fs::write(&file, bytes).unwrap();
        let out = run(["embed", &file]);
        out.assert_error(&[&file, word]);
        assert!(out.record().get("vector").is_none(), "{name}");
    }
    let out = run(["embed", text(folder.path())]);
    assert_eq!((out.code, out.stderr.lines().count(), out.records().len()), (Some(2), 6, 6), "{out:?}");
}

/// The decoder of JPEG is lenient: it fills what is missing with gray and says nothing.
#[test]
fn truncated_jpegs_are_told() {
    let folder = temp();
    let file = at(&folder, "truncated.jpg");
    let jpeg = std::fs::read(connector("good/01.jpg")).unwrap();
    for length in [jpeg.len() / 3, jpeg.len() * 9 / 10, jpeg.len() - 2] {
        std::fs::write(&file, &jpeg[..length]).unwrap();
        let out = run(["inspect", "--json", "--recipe", text(&CLASSICAL), &file, &connector("test/good_01.jpg")]);
        out.assert_error(&[&file]);
        assert_eq!(out.records()[0]["status"], "error", "{length}");
        assert_eq!(out.records()[1]["verdict"], "pass", "{length}");
        run(["embed", &file]).assert_error(&[&file]);
    }
}

#[test]
fn one_pixel() {
    let folder = temp();
    let file = at(&folder, "1x1.png");
    std::fs::write(&file, png(1, 1, 8, 2, &[], &[0, 200, 100, 50])).unwrap();
    inspect(text(&CLASSICAL), &[&file]).assert_error(&[&file, "1x1", "640x480"]);
    inspect(text(&PATCH), &[&file]).assert_error(&[&file, "1x1", "640x480"]);
    let out = at(&folder, "recipe");
    learn(&out, &[], &[file.clone(), file.clone(), file.clone()]).assert_error(&["1x1", "16x16"]);
    assert!(!Path::new(&out).exists());
    // A vector of one colour is a vector.
    let out = run(["embed", &file]);
    out.assert_quiet(0);
    assert_eq!(out.record()["dim"], 1280);
}

#[test]
fn the_size_limit_can_be_set() {
    let picture = connector("test/good_01.jpg");
    inspect(text(&CLASSICAL), &["--max-pixels", "1000", &picture]).assert_error(&["--max-pixels"]);
    run(["embed", "--max-pixels", "307199", &picture]).assert_error(&["640x480", "--max-pixels"]);
    run(["embed", "--max-pixels", "307200", &picture]).assert_quiet(0);
}

#[test]
fn a_recipe_that_is_none() {
    let folder = temp();
    let picture = connector("test/good_01.jpg");
    let out = inspect(&at(&folder, "gone"), &[&picture]);
    out.assert_error(&["gone", "ocellus learn"]);
    assert_eq!(out.stdout, "");
    inspect(text(folder.path()), &[&picture]).assert_error(&["recipe.toml", "ocellus learn"]);
    inspect(&picture, &[&picture]).assert_error(&["good_01.jpg"]);
}

#[test]
fn recipe_text_is_checked() {
    let picture = connector("test/good_01.jpg");
    let cases = [
        ("version = 1", "version = 7", "version is 7"),
        ("version = 1", "version = ", "line 1"),
        ("version = 1", "version = 1\ncolour = 'red'", "colour"),
        ("[align]", "[align]\nmax_tilt = 3", "max_tilt"),
        ("method = \"classical\"", "method = \"magic\"", "magic"),
        ("method = \"classical\"", "method = \"patch\"", "[model]"),
        ("mode = \"pose\"", "mode = \"auto\"", "auto"),
        ("rect = [0, 0, 640, 480]", "rect = [0, 0, 641, 480]", "outside"),
        ("rect = [0, 0, 640, 480]", "rect = [4294967295, 0, 640, 480]", "outside"),
        ("rect = [0, 0, 640, 480]", "rect = [0, 0, 640]", "line"),
        ("rect = [0, 0, 640, 480]", "rect = [0, 0, 4, 4]", "16x16"),
        ("name = \"all\"", "name = \"../all\"", "../all"),
        ("image = \"golden.jpg\"", "image = \"../golden.jpg\"", "../golden.jpg"),
        ("memory = \"all.safetensors\"", "memory = \"/etc/passwd\"", "/etc/passwd"),
        ("memory = \"all.safetensors\"", "memory = \"gone.safetensors\"", "gone.safetensors"),
        ("width = 640", "width = 800", "640x480"),
        ("max_shift_px = ", "max_shift_px = -", "max_shift_px"),
        ("threshold = ", "threshold = nan #", "threshold"),
    ];
    for (from, to, word) in cases {
        let (_folder, recipe) = copy_recipe(&CLASSICAL);
        edit_recipe(&recipe, from, to);
        let out = inspect(&recipe, &[&picture]);
        out.assert_error(&[word]);
        assert_eq!(out.stdout, "", "{to}");
    }
}

#[test]
fn changed_files_of_a_recipe() {
    let picture = connector("test/good_01.jpg");
    for name in ["golden.jpg", "all.safetensors"] {
        let (_folder, recipe) = copy_recipe(&CLASSICAL);
        let file = at(&recipe, name);
        let mut bytes = std::fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&file, bytes).unwrap();
        inspect(&recipe, &[&picture]).assert_error(&[&file, "sha256"]);
        std::fs::remove_file(&file).unwrap();
        inspect(&recipe, &[&picture]).assert_error(&[&file, "cannot read"]);
    }
}

#[test]
fn memories_of_another_kind() {
    let picture = connector("test/good_01.jpg");
    let sha = |file: &str| ocellus::models::sha256_hex(&std::fs::read(file).unwrap());
    // The memory of another method, its hash made to fit.
    let (_folder, recipe) = copy_recipe(&PATCH);
    let memory = at(&recipe, "all.safetensors");
    let old = sha(&memory);
    std::fs::copy(CLASSICAL.join("all.safetensors"), &memory).unwrap();
    edit_recipe(&recipe, &old, &sha(&memory));
    inspect(&recipe, &[&picture]).assert_error(&["all.safetensors", "classical", "patch"]);
    // No memory at all.
    let garbage = sha(&memory);
    std::fs::write(&memory, b"\xff\xff\xff\xff\xff\xff\xff\xff garbage").unwrap();
    edit_recipe(&recipe, &garbage, &sha(&memory));
    inspect(&recipe, &[&picture]).assert_error(&["all.safetensors", "damaged"]);
    // A model of the same name with another content.
    let lite0 = ocellus::models::resolve("efficientnet-lite0").unwrap().info.sha256;
    let mobile = ocellus::models::resolve("mobilenetv2").unwrap().info.sha256;
    let (_folder, recipe) = copy_recipe(&PATCH);
    edit_recipe(&recipe, &lite0, &mobile);
    inspect(&recipe, &[&picture]).assert_error(&["efficientnet-lite0", &mobile, "learn"]);
    // Another model, named and hashed as it should be: the vectors in memory are still not its own.
    edit_recipe(&recipe, "efficientnet-lite0", "mobilenetv2");
    inspect(&recipe, &[&picture]).assert_error(&["all.safetensors", &lite0, &mobile]);
}

#[test]
fn regions_that_do_not_fit() {
    let folder = temp();
    let out = at(&folder, "recipe");
    for (region, word) in [
        ("lid=600,0,100,100", "640x480"),
        ("lid=0,400,100,81", "640x480"),
        ("lid=4294967295,0,100,100", "640x480"),
        ("lid=0,0,8,8", "16x16"),
    ] {
        learn(&out, &["--region", region], &goods(4)).assert_error(&["lid", word]);
    }
    let twice = ["--region", "lid=0,0,99,99", "--region", "lid=5,5,99,99"];
    learn(&out, &twice, &goods(4)).assert_error(&["two regions", "lid"]);
    assert!(names(&folder).is_empty());
}

#[test]
fn too_few_good_images() {
    let folder = temp();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let out = at(&folder, "recipe");
    learn(&out, &[], &goods(1)).assert_error(&["1 good image", "at least 3"]);
    learn(&out, &[], &goods(2)).assert_error(&["2 good images", "at least 3"]);
    learn(&out, &[], &[]).assert_error(&["no pictures"]);
    let none = learn(&out, &[], &[text(&empty).to_string()]);
    assert_eq!(none.code, Some(2));
    assert!(none.stderr.lines().all(|l| l.starts_with("ocellus: error: ")), "{none:?}");
    assert!(none.stderr.contains("no good image"), "{none:?}");
    assert_eq!(names(&folder), ["empty"]);
}

#[test]
fn one_bad_good_image_is_left_out() {
    let folder = temp();
    let (bad, out) = (at(&folder, "bad.jpg"), at(&folder, "recipe"));
    std::fs::write(&bad, b"no picture").unwrap();
    let mut pictures = goods(5);
    pictures.insert(0, bad.clone());
    let learned = learn(&out, &[], &pictures);
    assert_eq!(learned.code, Some(2));
    assert!(learned.stderr.lines().next().unwrap().starts_with(&format!("ocellus: error: {bad}: ")), "{learned:?}");
    let text = std::fs::read_to_string(at(&out, "recipe.toml")).unwrap();
    assert!(text.contains("good_images = 5"), "{text}");
    inspect(&out, &[&connector("test/good_01.jpg")]).assert_quiet(0);
}

#[test]
fn pictures_of_another_size() {
    let folder = temp();
    let small = at(&folder, "small.png");
    image::open(connector("test/good_01.jpg")).unwrap().thumbnail(320, 240).save(&small).unwrap();
    inspect(text(&CLASSICAL), &[&small]).assert_error(&[&small, "320x240", "640x480"]);
}

#[test]
fn output_paths_that_cannot_be_used() {
    let folder = temp();
    let file = at(&folder, "file");
    std::fs::write(&file, "mine").unwrap();
    let (picture, inside) = (connector("test/good_01.jpg"), at(&folder, "file/x"));
    learn(&file, &[], &goods(3)).assert_error(&[&file]);
    learn(&file, &["--force"], &goods(3)).assert_error(&[&file]);
    learn(&inside, &[], &goods(3)).assert_error(&[&file]);
    inspect(text(&CLASSICAL), &["--annotate", &file, &picture]).assert_error(&[&file]);
    run(["embed", "--npy", text(folder.path()), &picture]).assert_error(&["is a directory"]);
    run(["embed", "--npy", &inside, &picture]).assert_error(&[&file]);
    // A folder with other things in it is not replaced, --force or not.
    let full = at(&folder, "full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(at(&full, "photo.jpg"), "dear").unwrap();
    learn(&full, &["--force"], &goods(3)).assert_error(&[&full, "not a recipe"]);
    assert_eq!(names(&folder), ["file", "full"]);
    assert_eq!(names(&full), ["photo.jpg"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

/// A run of the program without the right to do everything.
#[cfg(unix)]
mod unprivileged {
    use super::*;
    use std::fs::{Permissions, set_permissions};
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;

    /// A folder that everyone can read, with a copy of the program, of a recipe and of some pictures.
    struct World(tempfile::TempDir);

    impl World {
        fn new() -> World {
            let folder = temp();
            for sub in ["", "recipe", "pictures", "locked"] {
                let sub = folder.path().join(sub);
                std::fs::create_dir_all(&sub).unwrap();
                set_permissions(&sub, Permissions::from_mode(0o755)).unwrap();
            }
            let put = |from: &str, to: &str, mode: u32| {
                std::fs::copy(from, folder.path().join(to)).unwrap();
                set_permissions(folder.path().join(to), Permissions::from_mode(mode)).unwrap();
            };
            // Copied by another process: a program that this one has open for writing while a test beside it forks cannot
            // be started ("text file busy").
            let to = folder.path().join("ocellus");
            assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_ocellus")).arg(&to).status().unwrap().success());
            set_permissions(&to, Permissions::from_mode(0o755)).unwrap();
            for name in names(&*CLASSICAL) {
                put(&at(&*CLASSICAL, &name), &format!("recipe/{name}"), 0o644);
            }
            for i in 1..=4 {
                put(&connector(&format!("good/0{i}.jpg")), &format!("pictures/{i}.jpg"), 0o644);
            }
            World(folder)
        }

        fn path(&self, name: &str) -> String {
            at(&self.0, name)
        }

        fn lock(&self, name: &str, mode: u32) {
            set_permissions(self.path(name), Permissions::from_mode(mode)).unwrap();
        }

        /// Runs the program as nobody if we are root, whom no permission stops.
        fn run(&self, args: &[&str]) -> Output {
            let mut command = Command::new(self.path("ocellus"));
            command.args(args).current_dir(self.0.path());
            if std::fs::metadata(self.0.path()).unwrap().uid() == 0 {
                command.uid(65534).gid(65534);
            }
            finish(&mut command, b"")
        }
    }

    #[test]
    fn unreadable_directories_and_files() {
        let world = World::new();
        std::fs::copy(world.path("pictures/1.jpg"), world.path("locked/1.jpg")).unwrap();
        world.lock("locked", 0o000);
        let out = world.run(&["inspect", "--json", "--recipe", "recipe", "locked", "pictures/1.jpg"]);
        world.lock("locked", 0o755);
        out.assert_error(&["locked", "Permission denied"]);
        assert_eq!(out.records()[0]["status"], "error");
        assert_eq!(out.records()[1]["verdict"], "pass");
        world.lock("pictures/2.jpg", 0o000);
        let out = world.run(&["inspect", "--recipe", "recipe", "pictures"]);
        out.assert_error(&["pictures/2.jpg", "Permission denied"]);
        assert_eq!(out.stdout.lines().filter(|l| l.starts_with("PASS")).count(), 3);
        world.lock("recipe/recipe.toml", 0o000);
        world
            .run(&["inspect", "--recipe", "recipe", "pictures/1.jpg"])
            .assert_error(&["recipe.toml", "Permission denied"]);
    }

    #[test]
    fn read_only_output() {
        let world = World::new();
        world.lock("locked", 0o555);
        let runs: [&[&str]; 4] = [
            &["learn", "--method", "classical", "--out", "locked/recipe", "pictures"],
            &["inspect", "--recipe", "recipe", "--annotate", "locked/new", "pictures/1.jpg"],
            &["inspect", "--recipe", "recipe", "--annotate", "locked", "pictures/1.jpg"],
            &["embed", "--npy", "locked/vectors.npy", "pictures/1.jpg"],
        ];
        for args in runs {
            let out = world.run(args);
            out.assert_error(&["locked", "Permission denied"]);
            assert_eq!(out.stdout, "", "{args:?}: nothing is done first");
            assert!(names(world.path("locked")).is_empty(), "{args:?}");
        }
        world.lock("locked", 0o755);
    }

    #[test]
    fn written_files_can_be_read_by_others() {
        let world = World::new();
        world.lock("locked", 0o777);
        world.run(&["learn", "--quiet", "--method", "classical", "--out", "locked/recipe", "pictures"]).assert_quiet(0);
        world.run(&["embed", "--npy", "locked/vectors.npy", "pictures/1.jpg"]).assert_quiet(0);
        world.run(&["inspect", "--recipe", "recipe", "--annotate", "locked/drawn", "pictures/1.jpg"]).assert_quiet(0);
        for name in ["recipe", "recipe/recipe.toml", "recipe/all.safetensors", "vectors.npy", "drawn/1.png"] {
            let mode = std::fs::metadata(world.path(&format!("locked/{name}"))).unwrap().mode();
            assert_eq!(mode & 0o044, 0o044, "{name} is {mode:o}");
        }
        assert_eq!(names(world.path("locked")), ["drawn", "recipe", "vectors.npy"], "nothing half-written is left");
    }
}
