//! `ocellus dedup`: groups of copies, what is no copy, hashes to the bit, the search, the cache, moves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{Output, at, finish, ocellus, repo, run, temp};
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, Rgb, RgbImage, imageops};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Photographs that show different things.
const PHOTOS: [&str; 5] = [
    "examples/people/grace-hopper.jpg",
    "examples/people/solvay-1927.jpg",
    "tests/images/detect/chelsea.png",
    "tests/images/detect/coffee.png",
    "tests/images/detect/rocket.jpg",
];

fn photo(name: &str) -> RgbImage {
    image::open(repo(name)).unwrap().into_rgb8()
}

fn jpeg(picture: &RgbImage, quality: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(&mut bytes, quality).encode_image(picture).unwrap();
    bytes
}

/// A JPEG with an EXIF orientation behind its first marker.
fn with_orientation(jpeg: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut out = jpeg[..2].to_vec();
    out.extend([0xff, 0xe1]);
    out.extend((exif.len() as u16 + 2).to_be_bytes());
    out.extend(exif);
    out.extend(&jpeg[2..]);
    out
}

/// Copies of `picture` as people have them, by name.
fn copies(picture: &RgbImage) -> Vec<(&'static str, Vec<u8>)> {
    let (w, h) = picture.dimensions();
    let crop = imageops::crop_imm(picture, w / 20, 0, w - w / 20, h).to_image();
    let mut light = picture.clone();
    light.pixels_mut().for_each(|p| p.0 = p.0.map(|v| ((v as f32 / 255.0).powf(0.8) * 235.0 + 12.0) as u8));
    let gray = DynamicImage::ImageRgb8(picture.clone()).into_luma8();
    let mut png = Vec::new();
    picture.write_to(&mut std::io::Cursor::new(&mut png), image::ImageFormat::Png).unwrap();
    vec![
        ("q60.jpg", jpeg(picture, 60)),
        ("half.jpg", jpeg(&imageops::resize(picture, w / 2, h / 2, imageops::FilterType::Triangle), 90)),
        ("copy.png", png),
        ("turned.jpg", with_orientation(&jpeg(&imageops::rotate270(picture), 92), 6)),
        ("light.jpg", jpeg(&light, 88)),
        ("gray.jpg", jpeg(&DynamicImage::ImageLuma8(gray).into_rgb8(), 88)),
        ("crop.jpg", jpeg(&crop, 90)),
    ]
}

/// A folder with the copies of each photograph as `N-kind`, and `N-base.jpg` with its own copy `N-same.jpg`.
fn collection(folder: &Path) {
    for (i, name) in PHOTOS.iter().enumerate() {
        let picture = photo(name);
        let base = jpeg(&picture, 95);
        std::fs::write(folder.join(format!("{i}-base.jpg")), &base).unwrap();
        std::fs::write(folder.join(format!("{i}-same.jpg")), &base).unwrap();
        for (kind, bytes) in copies(&picture) {
            std::fs::write(folder.join(format!("{i}-{kind}")), bytes).unwrap();
        }
    }
}

fn dedup(args: &[&str]) -> Output {
    run([&["dedup", "--quiet", "--json", "--no-cache"], args].concat())
}

fn of_type<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["type"] == kind).collect()
}

/// File names of each group, sorted.
fn groups(out: &Output) -> Vec<BTreeSet<String>> {
    let records = out.records();
    let name = |f: &Value| Path::new(f["path"].as_str().unwrap()).file_name().unwrap().to_str().unwrap().to_string();
    of_type(&records, "dedup_group").iter().map(|g| g["files"].as_array().unwrap().iter().map(name).collect()).collect()
}

#[test]
fn copies_are_found_and_nothing_else() {
    let folder = temp();
    collection(folder.path());
    // What is alike but no copy: a shifted frame of the scene, blank pictures of several kinds.
    let scene = photo("tests/images/detect/astronaut.jpg");
    let (w, h) = scene.dimensions();
    for shift in [0, w / 14] {
        let frame = imageops::crop_imm(&scene, shift + 4, 9, w - w / 10, h - h / 10).to_image();
        std::fs::write(folder.path().join(format!("burst-{shift}.jpg")), jpeg(&frame, 90)).unwrap();
    }
    let blank = |f: &dyn Fn(u32, u32) -> u8| RgbImage::from_fn(640, 480, |x, y| Rgb([f(x, y); 3]));
    let black = blank(&|x, y| ((x * 31 + y * 17) % 3) as u8);
    for (name, picture) in [
        ("black-1", black),
        ("black-2", blank(&|x, y| ((x * 7 + y * 23) % 4) as u8)),
        ("white", blank(&|_, _| 255)),
        ("gradient-1", blank(&|x, _| (x / 3) as u8)),
        ("gradient-2", blank(&|x, _| (x / 5 + 40) as u8)),
        ("gradient-3", blank(&|x, y| ((x + y) / 6) as u8)),
    ] {
        std::fs::write(folder.path().join(format!("{name}.jpg")), jpeg(&picture, 90)).unwrap();
    }
    let out = dedup(&[folder.path().to_str().unwrap()]);
    out.assert_quiet(0);
    let expected: Vec<BTreeSet<String>> = (0..PHOTOS.len())
        .map(|i| {
            let kinds = copies(&RgbImage::new(60, 60)).into_iter().map(|(kind, _)| kind);
            kinds.chain(["base.jpg", "same.jpg"]).map(|kind| format!("{i}-{kind}")).collect()
        })
        .collect();
    let mut found = groups(&out);
    found.sort();
    assert_eq!(found, expected);
    let records = out.records();
    for group in of_type(&records, "dedup_group") {
        assert_eq!(group["kind"], "near");
        // The PNG has as many pixels as any and the most bytes.
        assert!(group["keep"].as_str().unwrap().ends_with("copy.png"), "{group}");
        for (i, file) in group["files"].as_array().unwrap().iter().enumerate() {
            assert_eq!(file["remove"], i > 0, "{file}");
            assert_eq!(file["hash"].as_str().unwrap().len(), 16);
        }
    }
    let summary = of_type(&records, "dedup_summary")[0];
    assert_eq!(summary["files"].as_u64(), Some(53), "{summary}");
    assert!(summary["blank"].as_u64().unwrap() >= 3, "{summary}");
    // The same output whatever the number of threads.
    let one = dedup(&["--threads", "1", folder.path().to_str().unwrap()]);
    assert_eq!(one.stdout, out.stdout);
    // 256 bits and the other hashes find the plain copies as well.
    for hash in [["dhash", "64"], ["dhash", "256"], ["phash", "256"], ["blockhash", "64"], ["blockhash", "256"]] {
        let out = dedup(&["--hash", hash[0], "--bits", hash[1], folder.path().to_str().unwrap()]);
        let of_photos = |g: &BTreeSet<String>| g.first().unwrap().starts_with(char::is_numeric);
        let found: Vec<BTreeSet<String>> = groups(&out).into_iter().filter(of_photos).collect();
        for (i, group) in found.iter().enumerate() {
            for kind in ["base.jpg", "same.jpg", "q60.jpg", "half.jpg", "turned.jpg", "gray.jpg"] {
                assert!(group.iter().any(|n| n.ends_with(kind)), "{hash:?} {i}: {group:?}");
            }
        }
        assert_eq!(found.len(), PHOTOS.len(), "{hash:?}");
    }
}

#[test]
fn text_for_people() {
    let folder = temp();
    let picture = photo(PHOTOS[3]);
    std::fs::write(at(&folder, "b.jpg"), jpeg(&picture, 95)).unwrap();
    std::fs::write(at(&folder, "a.jpg"), jpeg(&picture, 60)).unwrap();
    let out = run(["dedup", "--no-cache", folder.path().to_str().unwrap()]);
    out.assert_quiet(0);
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{}", out.stdout);
    assert_eq!(lines[0], "group 1  near  2 files");
    assert!(lines[1].contains("b.jpg") && lines[1].ends_with("keep") && lines[1].contains("600x400"), "{}", out.stdout);
    assert!(lines[2].contains("a.jpg") && lines[2].contains("distance "), "{}", out.stdout);
    assert!(lines[3].starts_with("2 files, 1 group (0 exact); 1 files could go, "), "{}", out.stdout);
}

#[test]
fn hashes_are_those_of_imagededup() {
    let text = std::fs::read_to_string(repo("tests/reference/dedup.json")).unwrap();
    let reference: Value = serde_json::from_str(&text).unwrap();
    let images = reference["images"].as_array().unwrap();
    assert!(images.len() >= 20);
    let folders =
        ["examples/people", "tests/images/detect", "tests/images/features", "examples/connector/test"].map(repo);
    for method in ["dhash", "phash"] {
        let mut args = vec!["dedup", "hash", "--json", "--quiet", "--exact-hash", "--hash", method];
        args.extend(folders.iter().map(String::as_str));
        let out = run(args);
        out.assert_quiet(0);
        let mut compared = 0;
        for record in out.records() {
            let path = Path::new(record["path"].as_str().unwrap());
            let name = path.file_name().unwrap().to_str().unwrap();
            // Names that two of the folders share are told apart by the order of both.
            let of_name: Vec<&Value> = images.iter().filter(|i| i["file"] == name).collect();
            if of_name.is_empty() {
                continue;
            }
            assert!(of_name.iter().any(|i| i[method] == record["hash"]), "{method} {record}: {of_name:?}");
            compared += 1;
        }
        assert!(compared >= 20, "{compared}");
    }
}

#[test]
fn quick_hashes_are_near_the_exact_ones() {
    // Large enough that only the means of blocks are decoded: four photographs side by side, enlarged.
    let folder = temp();
    let parts: Vec<RgbImage> =
        PHOTOS.iter().map(|p| imageops::resize(&photo(p), 1000, 700, imageops::FilterType::CatmullRom)).collect();
    for i in 0..5 {
        let mut large = RgbImage::new(2000, 1400);
        for (k, (x, y)) in [(0, 0), (1000, 0), (0, 700), (1000, 700)].into_iter().enumerate() {
            imageops::replace(&mut large, &parts[(i + k) % 5], x, y);
        }
        std::fs::write(at(&folder, &format!("{i}.jpg")), jpeg(&large, 88)).unwrap();
    }
    for method in ["dhash", "phash", "blockhash"] {
        let hashes = |exact: &[&str]| -> Vec<u64> {
            let args = [&["dedup", "hash", "--json", "--quiet", "--hash", method], exact].concat();
            let out = run([&args[..], &[folder.path().to_str().unwrap()]].concat());
            out.records().iter().map(|r| u64::from_str_radix(r["hash"].as_str().unwrap(), 16).unwrap()).collect()
        };
        let (quick, exact) = (hashes(&[]), hashes(&["--exact-hash"]));
        let distances: Vec<u32> = quick.iter().zip(&exact).map(|(a, b)| (a ^ b).count_ones()).collect();
        assert_eq!(distances.len(), 5);
        assert!(distances.iter().all(|&d| d <= 2) && distances.iter().sum::<u32>() <= 4, "{method}: {distances:?}");
    }
}

/// Codes with planted neighbours, and all pairs within `threshold` by comparing each with each; lines count from 1.
fn planted(n: usize, words: usize, threshold: u32) -> (String, BTreeSet<(usize, usize, u32)>) {
    let mut rng = fastrand::Rng::with_seed(9);
    let mut codes: Vec<Vec<u64>> = (0..n).map(|_| (0..words).map(|_| rng.u64(..)).collect()).collect();
    for i in 0..n / 10 {
        let mut near = codes[i * 7 % n].clone();
        for _ in 0..rng.u32(0..=threshold + 2) {
            let bit = rng.usize(0..64 * words);
            near[bit / 64] ^= 1 << (bit % 64);
        }
        codes[n - 1 - i] = near;
    }
    let mut pairs = BTreeSet::new();
    for (b, y) in codes.iter().enumerate() {
        for (a, x) in codes[..b].iter().enumerate() {
            let distance: u32 = x.iter().zip(y).map(|(x, y)| (x ^ y).count_ones()).sum();
            if distance <= threshold {
                pairs.insert((a + 1, b + 1, distance));
            }
        }
    }
    let hex = |code: &Vec<u64>| code.iter().map(|w| format!("{w:016x}")).collect::<String>() + "\n";
    (codes.iter().map(hex).collect(), pairs)
}

#[test]
fn the_search_finds_all_pairs_on_every_instruction_set() {
    let folder = temp();
    let file = at(&folder, "hashes.txt");
    for (n, words, threshold) in [(3000, 1, 5), (3000, 1, 11), (800, 4, 30)] {
        let (text, expected) = planted(n, words, threshold);
        assert!(expected.len() > n / 20);
        std::fs::write(&file, text).unwrap();
        for isa in ["scalar", "avx2", "avx512", "neon", ""] {
            let mut command = ocellus();
            command.args(["dedup", "--hashes", &file, "--threshold", &threshold.to_string(), "--pairs", "--json"]);
            let out = finish(command.env("OCELLUS_ISA", isa), b"");
            out.assert_quiet(0);
            let number = |r: &Value, key: &str| r[key].as_u64().unwrap() as usize;
            let found: BTreeSet<(usize, usize, u32)> =
                out.records().iter().map(|r| (number(r, "a"), number(r, "b"), number(r, "distance") as u32)).collect();
            assert_eq!(found, expected, "{n} {threshold} {isa}");
        }
    }
}

#[test]
fn hashes_come_as_groups_too() {
    let text = b"00000000000000ff  a.jpg\n\nffffffffffffffff\n00000000000000fe\n00000000000000ff\nFFFFFFFFFFFFFFFE b\n";
    let out = finish(ocellus().args(["dedup", "--hashes", "-", "--threshold", "1", "--json"]), text);
    out.assert_quiet(0);
    let lines = |g: &Value| -> Vec<(u64, u64)> {
        let files = g["files"].as_array().unwrap();
        files.iter().map(|f| (f["line"].as_u64().unwrap(), f["distance"].as_u64().unwrap())).collect()
    };
    let records = out.records();
    assert_eq!(records.iter().map(lines).collect::<Vec<_>>(), [vec![(1, 0), (5, 0), (4, 1)], vec![(3, 0), (6, 1)]]);
    assert_eq!(records[0]["keep"], "<stdin>:1");
    for (text, words) in [
        (&b"00000000000000ff\n00000000000000f\n"[..], ["line 2", "16 or 64"]),
        (b"zz\n", ["line 1", "zz"]),
        (b"\n\n", ["no hashes", "expected"]),
        (b"00000000000000ff\n", ["--threshold", "32"]),
    ] {
        let mut command = ocellus();
        command.args(["dedup", "--hashes", "-"]);
        if words[0] == "--threshold" {
            command.args(["--threshold", "32"]);
        }
        finish(&mut command, text).assert_error(&words);
    }
}

#[test]
fn the_cache_knows_what_has_not_changed() {
    let folder = temp();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for (i, name) in PHOTOS.iter().enumerate() {
        std::fs::write(photos.join(format!("{i}.jpg")), jpeg(&photo(name), 90)).unwrap();
        std::fs::write(photos.join(format!("{i}-60.jpg")), jpeg(&photo(name), 60)).unwrap();
    }
    let cache = at(&folder, "cache/hashes");
    let dedup = |more: &[&str]| {
        let out = run([&["dedup", "--quiet", "--json", "--cache", &cache, photos.to_str().unwrap()], more].concat());
        out.assert_quiet(0);
        let mut records = out.records();
        let summary = records.pop().unwrap();
        (records, summary["hashed"].as_u64().unwrap(), summary["cached"].as_u64().unwrap())
    };
    let (first, hashed, cached) = dedup(&[]);
    assert_eq!((first.len(), hashed, cached), (5, 10, 0));
    let (second, hashed, cached) = dedup(&[]);
    assert_eq!((hashed, cached), (0, 10));
    assert_eq!(second, first);
    // Another hash is another entry; asking anew is possible.
    assert_eq!(dedup(&["--hash", "dhash"]).1, 10);
    assert_eq!(dedup(&["--recompute"]).1, 10);
    // A changed file is hashed anew.
    std::fs::write(photos.join("0-60.jpg"), jpeg(&photo(PHOTOS[1]), 61)).unwrap();
    let (changed, hashed, cached) = dedup(&[]);
    assert_eq!((hashed, cached), (1, 9));
    assert_eq!(changed.len(), 4);
    // A cut or damaged end is dropped, what stands before it counts.
    let bytes = std::fs::read(&cache).unwrap();
    std::fs::write(&cache, &bytes[..bytes.len() - 100]).unwrap();
    let (again, hashed, _) = dedup(&[]);
    assert_eq!(hashed, 1);
    assert_eq!(again, changed);
    let mut bytes = std::fs::read(&cache).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&cache, &bytes).unwrap();
    assert_eq!(dedup(&[]).0, changed);
    assert_eq!(dedup(&[]).1, 0);
    // A stranger's file is left alone.
    std::fs::write(&cache, "my notes, longer than the first bytes of a cache").unwrap();
    run(["dedup", "--cache", &cache, photos.to_str().unwrap()]).assert_error(&["cache", "--cache"]);
    assert!(std::fs::read_to_string(&cache).unwrap().starts_with("my notes"));
}

#[test]
fn a_killed_run_keeps_what_it_did() {
    let folder = temp();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let picture = imageops::resize(&photo(PHOTOS[0]), 900, 1000, imageops::FilterType::Triangle);
    for i in 0..120 {
        std::fs::write(photos.join(format!("{i:03}.jpg")), jpeg(&imageops::huerotate(&picture, i), 92)).unwrap();
    }
    let cache = at(&folder, "hashes");
    let args = ["dedup", "--quiet", "--json", "--threads", "1", "--cache", &cache, photos.to_str().unwrap()];
    let mut child = ocellus().args(args).stdout(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while std::fs::metadata(&cache).map_or(0, |m| m.len()) < 60_000 && start.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(2));
    }
    let finished = child.try_wait().unwrap().is_some();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!finished, "the run was over before it was killed");
    let out = run(args);
    out.assert_quiet(0);
    let records = out.records();
    let summary = of_type(&records, "dedup_summary")[0].clone();
    let (hashed, cached) = (summary["hashed"].as_u64().unwrap(), summary["cached"].as_u64().unwrap());
    assert_eq!(hashed + cached, 120);
    assert!(cached >= 10, "{summary}");
}

#[test]
fn bad_files_are_told_and_skipped() {
    let folder = temp();
    let picture = photo(PHOTOS[2]);
    let bytes = jpeg(&picture, 90);
    std::fs::write(at(&folder, "good.jpg"), &bytes).unwrap();
    std::fs::write(at(&folder, "good-2.jpg"), jpeg(&picture, 70)).unwrap();
    std::fs::write(at(&folder, "empty.jpg"), b"").unwrap();
    std::fs::write(at(&folder, "cut.jpg"), &bytes[..bytes.len() / 2]).unwrap();
    std::fs::write(at(&folder, "text.jpg"), "no picture").unwrap();
    std::fs::write(at(&folder, "notes.txt"), "not looked at").unwrap();
    std::fs::create_dir(at(&folder, "nothing")).unwrap();
    let (gone, nothing) = (at(&folder, "gone"), at(&folder, "nothing"));
    let out = dedup(&[folder.path().to_str().unwrap(), &gone, &nothing]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert_eq!(groups(&out), [BTreeSet::from(["good.jpg".to_string(), "good-2.jpg".to_string()])]);
    let records = out.records();
    let failed = of_type(&records, "dedup");
    let failed: Vec<&str> = failed.iter().map(|r| r["path"].as_str().unwrap().rsplit('/').next().unwrap()).collect();
    assert_eq!(BTreeSet::from_iter(failed), BTreeSet::from(["cut.jpg", "empty.jpg", "gone", "nothing", "text.jpg"]));
    let lines: Vec<&str> = out.stderr.lines().collect();
    assert_eq!(lines.len(), 5, "{}", out.stderr);
    assert!(lines.iter().all(|l| l.starts_with("ocellus: error: ")), "{}", out.stderr);
}

#[cfg(unix)]
#[test]
fn links_and_strange_names() {
    use std::os::unix::ffi::OsStrExt;
    let folder = temp();
    let photos = folder.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    let bytes = jpeg(&photo(PHOTOS[4]), 90);
    let strange = photos.join(std::ffi::OsStr::from_bytes(b"st\xffrange 'n\nme.jpg"));
    std::fs::write(&strange, &bytes).unwrap();
    std::fs::write(photos.join("plain.jpg"), &bytes).unwrap();
    // Another name of the same file is no duplicate; links are not followed, loops neither.
    std::fs::hard_link(photos.join("plain.jpg"), photos.join("zz-hard.jpg")).unwrap();
    std::os::unix::fs::symlink(&photos, photos.join("loop")).unwrap();
    std::os::unix::fs::symlink(photos.join("plain.jpg"), photos.join("link.jpg")).unwrap();
    let moved = folder.path().join("moved");
    let (photos_name, moved_name) = (photos.to_str().unwrap(), moved.to_str().unwrap());
    let out = dedup(&[photos_name, photos_name, "--move-to", moved_name]);
    assert_eq!(out.code, Some(0), "{out:?}");
    let records = out.records();
    let group = of_type(&records, "dedup_group")[0];
    assert_eq!(group["kind"], "exact");
    assert_eq!(group["files"].as_array().unwrap().len(), 2, "{group}");
    let summary = of_type(&records, "dedup_summary")[0];
    assert_eq!((summary["links"].as_u64(), summary["aliases"].as_u64()), (Some(4), Some(4)), "{summary}");
    let bytes_of = |f: &Value| f["path_bytes"].as_str().map(|h| h.contains("ff"));
    assert!(group["files"].as_array().unwrap().iter().any(|f| bytes_of(f) == Some(true)), "{group}");
    // One of both has gone, and comes back under its name.
    let there = || [strange.exists(), photos.join("plain.jpg").exists()];
    assert_eq!(there().iter().filter(|t| **t).count(), 1);
    let undo = std::process::Command::new("sh").arg(moved.join("undo.sh")).output().unwrap();
    assert!(undo.status.success(), "{undo:?}");
    assert_eq!(there(), [true, true]);
    assert_eq!(std::fs::read(&strange).unwrap(), bytes);
}

#[test]
fn duplicates_are_moved_and_nothing_is_lost() {
    let folder = temp();
    let (photos, kept, moved) = (at(&folder, "photos"), at(&folder, "kept"), at(&folder, "moved"));
    std::fs::create_dir_all(at(&folder, "photos/2019")).unwrap();
    std::fs::create_dir(&kept).unwrap();
    let (a, b) = (photo(PHOTOS[0]), photo(PHOTOS[3]));
    std::fs::write(at(&photos, "2019/a.jpg"), jpeg(&a, 95)).unwrap();
    std::fs::write(at(&photos, "a-small.jpg"), jpeg(&a, 50)).unwrap();
    std::fs::write(at(&photos, "b.jpg"), jpeg(&b, 95)).unwrap();
    std::fs::write(at(&photos, "alone.jpg"), jpeg(&photo(PHOTOS[2]), 95)).unwrap();
    // A reference is kept, though it is smaller.
    std::fs::write(at(&kept, "b-old.jpg"), jpeg(&b, 60)).unwrap();
    std::fs::write(at(&kept, "b-older.jpg"), jpeg(&b, 58)).unwrap();
    let before = common::names(&photos);
    let look = dedup(&["--reference", &kept, &photos]);
    look.assert_quiet(0);
    assert_eq!(common::names(&photos), before, "nothing is touched without --move-to");
    let records = look.records();
    let removed: BTreeSet<&str> = of_type(&records, "dedup_group")
        .iter()
        .flat_map(|g| g["files"].as_array().unwrap())
        .filter(|f| f["remove"] == true)
        .map(|f| f["path"].as_str().unwrap().rsplit('/').next().unwrap())
        .collect();
    assert_eq!(removed, BTreeSet::from(["a-small.jpg", "b.jpg"]));
    // Of references alone there is nothing to say.
    assert!(groups(&dedup(&["--reference", &kept, &at(&photos, "alone.jpg")])).is_empty());
    let html = at(&folder, "sheet.html");
    let out = dedup(&["--reference", &kept, "--move-to", &moved, "--html", &html, &photos]);
    assert_eq!(out.code, Some(0), "{out:?}");
    assert!(out.stderr.contains("2 files moved"), "{out:?}");
    assert_eq!(common::names(&moved), ["a-small.jpg", "b.jpg", "undo.sh"]);
    assert_eq!(common::names(&kept), ["b-old.jpg", "b-older.jpg"]);
    assert!(Path::new(&at(&photos, "2019/a.jpg")).exists() && !Path::new(&at(&photos, "b.jpg")).exists());
    let sheet = std::fs::read_to_string(&html).unwrap();
    assert_eq!(sheet.matches("data:image/jpeg;base64,").count(), 5);
    assert!(sheet.ends_with("</html>\n") && !sheet.contains("http"));
    let undo = std::process::Command::new("sh").arg(at(&moved, "undo.sh")).output().unwrap();
    assert!(undo.status.success());
    assert_eq!(common::names(&photos), before);
    // What lies where duplicates go is not looked at again.
    let inside = at(&photos, "duplicates");
    assert_eq!(dedup(&["--reference", &kept, "--move-to", &inside, &photos]).code, Some(0));
    assert!(groups(&dedup(&["--move-to", &inside, &photos])).is_empty());
}

#[test]
fn no_photograph_is_overwritten_or_moved_by_mistake() {
    let folder = temp();
    let photos = at(&folder, "photos");
    std::fs::create_dir(&photos).unwrap();
    let picture = photo(PHOTOS[3]);
    let (a, b) = (at(&photos, "a.jpg"), at(&photos, "b.jpg"));
    std::fs::write(&a, jpeg(&picture, 95)).unwrap();
    std::fs::write(&b, jpeg(&picture, 60)).unwrap();
    let before = std::fs::read(&a).unwrap();
    run(["dedup", "--no-cache", "--html", &a, &photos]).assert_error(&["a.jpg", "overwritten"]);
    assert_eq!(std::fs::read(&a).unwrap(), before);
    run(["dedup", "--no-cache", "--move-to", &photos, &photos]).assert_error(&["photos", "cannot be moved"]);
    let (moved, gone) = (at(&folder, "moved"), at(&folder, "gone"));
    run(["dedup", "--no-cache", "--move-to", &moved, "--reference", &gone, &photos])
        .assert_error(&["gone", "reference"]);
    assert_eq!(common::names(&photos), ["a.jpg", "b.jpg"]);
    // A strange list is not added to, so that nobody's script is run.
    std::fs::create_dir(&moved).unwrap();
    std::fs::write(at(&moved, "undo.sh"), "rm -rf .\n").unwrap();
    let out = run(["dedup", "--no-cache", "--move-to", &moved, &photos]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("undo.sh"), "{out:?}");
    assert_eq!(common::names(&photos), ["a.jpg", "b.jpg"]);
    std::fs::remove_file(at(&moved, "undo.sh")).unwrap();
    // The same size and time with other bytes: what the cache calls equal is held against the kept file before it moves.
    let cache = at(&folder, "cache");
    let (x, y) = (at(&folder, "same/x.bmp"), at(&folder, "same/y.bmp"));
    std::fs::create_dir(at(&folder, "same")).unwrap();
    picture.save(&x).unwrap();
    picture.save(&y).unwrap();
    let same = at(&folder, "same");
    run(["dedup", "--quiet", "--cache", &cache, &same]).assert_quiet(0);
    let time = std::fs::metadata(&y).unwrap().modified().unwrap();
    imageops::flip_horizontal(&picture).save(&y).unwrap();
    std::fs::File::options().write(true).open(&y).unwrap().set_modified(time).unwrap();
    let out = run(["dedup", "--quiet", "--cache", &cache, "--move-to", &moved, &same]);
    assert_eq!(out.code, Some(2), "{out:?}");
    assert!(out.stderr.contains("its bytes differ"), "{out:?}");
    assert_eq!(common::names(&same), ["x.bmp", "y.bmp"]);
    // What came to be where a moved file lay is not replaced when it is put back.
    assert_eq!(run(["dedup", "--no-cache", "--move-to", &moved, &photos]).code, Some(0));
    std::fs::write(&b, "another").unwrap();
    let undo = || std::process::Command::new("sh").arg(at(&moved, "undo.sh")).output().unwrap();
    let out = undo();
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stderr).contains("another file"), "{out:?}");
    assert_eq!(std::fs::read_to_string(&b).unwrap(), "another");
    std::fs::remove_file(&b).unwrap();
    assert!(undo().status.success() && undo().status.success());
    assert_eq!(common::names(&photos), ["a.jpg", "b.jpg"]);
}

#[test]
fn turned_and_mirrored_copies() {
    let folder = temp();
    let picture = photo(PHOTOS[2]);
    let turned = [
        ("90.jpg", imageops::rotate90(&picture)),
        ("180.jpg", imageops::rotate180(&picture)),
        ("270.jpg", imageops::rotate270(&picture)),
        ("mirror.jpg", imageops::flip_horizontal(&picture)),
    ];
    std::fs::write(at(&folder, "base.jpg"), jpeg(&picture, 95)).unwrap();
    for (name, turned) in turned {
        std::fs::write(at(&folder, name), jpeg(&turned, 85)).unwrap();
    }
    assert!(groups(&dedup(&[folder.path().to_str().unwrap()])).is_empty());
    let out = dedup(&["--rotations", folder.path().to_str().unwrap()]);
    assert_eq!(groups(&out).iter().map(|g| g.len()).collect::<Vec<_>>(), [5]);
    let records = out.records();
    let files = of_type(&records, "dedup_group")[0]["files"].as_array().unwrap().clone();
    assert!(files[1..].iter().all(|f| f["turned"] == true), "{files:?}");
    let (base, other) = (at(&folder, "base.jpg"), at(&folder, "270.jpg"));
    assert_eq!(run(["dedup", "compare", &base, &other]).code, Some(1));
    assert_eq!(run(["dedup", "compare", "--rotations", &base, &other]).code, Some(0));
    assert_eq!(run(["dedup", "compare", "--rotations", &other, &base, "--verify", "0.8"]).code, Some(0));
}

#[test]
fn two_photographs_are_compared() {
    let folder = temp();
    let picture = photo(PHOTOS[1]);
    let base = repo(PHOTOS[1]);
    for (name, bytes) in copies(&picture) {
        let file = at(&folder, name);
        std::fs::write(&file, bytes).unwrap();
        let out = run(["dedup", "compare", &base, &file]);
        out.assert_quiet(0);
        assert!(out.stdout.starts_with("same  distance "), "{name}: {}", out.stdout);
    }
    let out = run(["dedup", "compare", "--json", &base, &repo(PHOTOS[0])]);
    out.assert_quiet(1);
    let record = out.record();
    assert_eq!((&record["type"], &record["same"]), (&Value::from("dedup_compare"), &Value::from(false)));
    assert!(record["distance"].as_u64().unwrap() > 16 && record["reason"].is_string(), "{record}");
    let exact = run(["dedup", "compare", "--json", &base, &base]).record();
    assert_eq!((&exact["exact"], &exact["distance"]), (&Value::from(true), &Value::from(0)));
    // Another frame of the scene: the hashes are near, the second look tells.
    let (w, h) = picture.dimensions();
    let shifted = imageops::crop_imm(&picture, w / 30, 0, w - w / 30, h).to_image();
    let first = imageops::crop_imm(&picture, 0, 0, w - w / 30, h).to_image();
    let (a, b) = (at(&folder, "first.jpg"), at(&folder, "shifted.jpg"));
    std::fs::write(&a, jpeg(&first, 90)).unwrap();
    std::fs::write(&b, jpeg(&shifted, 90)).unwrap();
    let out = run(["dedup", "compare", &a, &b]);
    out.assert_quiet(1);
    assert!(out.stdout.starts_with("different") && out.stdout.contains("frame"), "{}", out.stdout);
    run(["dedup", "compare", "--hash-only", "--threshold", "16", &a, &b]).assert_quiet(0);
    run(["dedup", "compare", &base, &at(&folder, "gone.jpg")]).assert_error(&["gone.jpg"]);
    run(["dedup", "compare", &base]).assert_error(&["dedup compare --help"]);
}

#[test]
fn features_confirm_near_pairs() {
    let folder = temp();
    let picture = photo(PHOTOS[3]);
    std::fs::write(at(&folder, "a.jpg"), jpeg(&picture, 95)).unwrap();
    std::fs::write(at(&folder, "b.jpg"), jpeg(&picture, 70)).unwrap();
    let folder = folder.path().to_str().unwrap();
    let near = dedup(&["--verify", "0.9", folder]);
    let records = near.records();
    let cosine = of_type(&records, "dedup_group")[0]["files"][1]["cosine"].as_f64().unwrap();
    assert!(cosine > 0.9 && cosine <= 1.0, "{cosine}");
    assert!(groups(&dedup(&["--verify", "1", folder])).is_empty());
}

#[test]
fn wrong_usage() {
    let folder = temp();
    let folder = folder.path().to_str().unwrap();
    let cases: [(&[&str], &str); 10] = [
        (&["dedup"], "no directories"),
        (&["dedup", "--threads", "100000", folder], "--threads"),
        (&["dedup", "--hashes", "x", folder], "--hashes"),
        (&["dedup", "--hash", "ahash", folder], "ahash"),
        (&["dedup", "--bits", "128", folder], "128"),
        (&["dedup", "--threshold", "32", folder], "--threshold"),
        (&["dedup", "--verify", "2", folder], "--verify"),
        (&["dedup", "--pairs", folder], "--hashes"),
        (&["dedup", "--hashes", "/nowhere/at/all"], "/nowhere/at/all"),
        (&["dedup", "hash"], "no pictures"),
    ];
    for (args, word) in cases {
        run(args).assert_error(&[word]);
    }
    let help = run(["dedup", "compare", "--help"]);
    help.assert_quiet(0);
    assert!(help.stdout.starts_with("Usage: ocellus dedup compare "), "{}", help.stdout);
    assert!(run(["dedup", "--help"]).stdout.contains("--move-to"));
}
