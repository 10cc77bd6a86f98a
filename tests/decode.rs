//! Every kind of picture becomes the same 8-bit RGB, upright.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{CLASSICAL, at, connector, finish, jpeg, ocellus, png, repo, run, temp, text, with_orientation};
use image::{DynamicImage, ImageFormat, RgbImage};
use ocellus::input::{Limits, decode};
use std::io::Cursor;

fn rgb(bytes: &[u8]) -> RgbImage {
    let image = decode("test", bytes, &Limits::default()).unwrap();
    RgbImage::from_raw(image.width(), image.height(), image.into_data()).unwrap()
}

/// Red, green, blue, black: one colour a quarter, 16 x 16 pixels each.
fn quarters() -> RgbImage {
    let colours = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 0, 0]];
    RgbImage::from_fn(32, 32, |x, y| image::Rgb(colours[(x / 16 + 2 * (y / 16)) as usize]))
}

fn encoded(picture: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.into().write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

#[test]
fn every_format() {
    use ImageFormat::{Bmp, Png, Pnm, Tiff, WebP};
    let picture = quarters();
    for format in [Png, Bmp, Tiff, WebP, Pnm] {
        assert_eq!(rgb(&encoded(picture.clone(), format)), picture, "{format:?}");
    }
    let far = |a: &RgbImage| a.iter().zip(picture.iter()).map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!(far(&rgb(&jpeg(&picture))) <= 8);
    let gif = decode(
        "x.gif",
        b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;",
        &Limits::default(),
    );
    assert!(gif.unwrap_err().one_line().starts_with("x.gif: "));
}

#[test]
fn exif_orientation() {
    // Where the stored picture's first corner comes to stand, for each value of the tag.
    let corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0), (1, 0), (1, 1), (0, 1)];
    let stored = RgbImage::from_fn(48, 32, |x, y| image::Rgb(if x < 8 && y < 8 { [0; 3] } else { [255; 3] }));
    for (orientation, (right, bottom)) in (1..=8).zip(corners) {
        let upright = rgb(&with_orientation(&jpeg(&stored), orientation));
        let size = if orientation < 5 { (48, 32) } else { (32, 48) };
        assert_eq!(upright.dimensions(), size, "orientation {orientation}");
        for (x, y) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
            let pixel = upright.get_pixel(x * (size.0 - 1), y * (size.1 - 1)).0[0];
            assert_eq!(pixel < 128, (x, y) == (right, bottom), "orientation {orientation}, corner {x},{y}: {pixel}");
        }
    }
}

#[test]
fn boxes_are_in_upright_pixels() {
    let folder = temp();
    let photo = image::open(connector("test/missing_pin_01.jpg")).unwrap();
    let file = at(&folder, "turned.jpg");
    std::fs::write(&file, with_orientation(&jpeg(&photo.rotate270().into_rgb8()), 6)).unwrap();
    let inspect = |picture: &str| {
        let drawn = at(&folder, "drawn");
        let out = run(["inspect", "--json", "--recipe", text(&CLASSICAL), "--annotate", &drawn, picture]);
        out.assert_quiet(1);
        let defects = out.record()["regions"][0]["defects"].clone();
        (0..4).map(|i| defects[0]["box"][i].as_f64().unwrap()).collect::<Vec<_>>()
    };
    let (upright, turned) = (inspect(&connector("test/missing_pin_01.jpg")), inspect(&file));
    for (a, b) in upright.iter().zip(&turned) {
        assert!((a - b).abs() < 12.0, "{upright:?} {turned:?}");
    }
    assert_eq!(image::image_dimensions(at(&folder, "drawn/turned.png")).unwrap(), (640, 480));
    // Learned from turned pictures, regions are in upright pixels as well.
    let recipe = at(&folder, "recipe");
    let goods: Vec<String> = (1..=3)
        .map(|i| {
            let good = image::open(connector(&format!("good/0{i}.jpg"))).unwrap();
            let file = at(&folder, &format!("{i}.jpg"));
            std::fs::write(&file, with_orientation(&jpeg(&good.rotate270().into_rgb8()), 6)).unwrap();
            file
        })
        .collect();
    let args = ["learn", "--quiet", "--method", "classical", "--region", "right=540,0,100,480", "--out", &recipe];
    run(args.into_iter().chain(goods.iter().map(String::as_str))).assert_quiet(0);
    let text = std::fs::read_to_string(at(&recipe, "recipe.toml")).unwrap();
    assert!(text.contains("width = 640") && text.contains("height = 480"), "{text}");
    let out = run(["inspect", "--recipe", &recipe, &connector("good/01.jpg")]);
    assert_eq!(out.stderr, "", "an upright picture has the size of the recipe: {out:?}");
}

#[test]
fn sixteen_bits() {
    let wide = image::ImageBuffer::from_fn(4, 2, |x, y| image::Rgb([x, y, x + y].map(|v| v as u16 * 257 * 40)));
    let narrow = RgbImage::from_fn(4, 2, |x, y| image::Rgb([x, y, x + y].map(|v| v as u8 * 40)));
    assert_eq!(rgb(&encoded(DynamicImage::ImageRgb16(wide.clone()), ImageFormat::Png)), narrow);
    assert_eq!(rgb(&encoded(DynamicImage::ImageRgb16(wide), ImageFormat::Tiff)), narrow);
    let gray = png(2, 1, 16, 0, &[], &[0, 0x80, 0x00, 0x10, 0xff]);
    let pixels: Vec<u8> = rgb(&gray).into_raw();
    assert!(pixels[0].abs_diff(0x80) <= 1 && pixels[3].abs_diff(0x10) <= 1, "{pixels:?}");
    assert_eq!(pixels[0], pixels[2]);
}

#[test]
fn gray_and_bits() {
    assert_eq!(rgb(&png(2, 1, 8, 0, &[], &[0, 7, 200])).into_raw(), [7, 7, 7, 200, 200, 200]);
    assert_eq!(rgb(&png(2, 1, 1, 0, &[], &[0, 0b0100_0000])).into_raw(), [0, 0, 0, 255, 255, 255]);
}

#[test]
fn transparency_lies_over_white() {
    // Half of 100 and half of 255; nothing of it; all of it.
    let gray = png(3, 1, 8, 4, &[], &[0, 100, 128, 50, 0, 9, 255]);
    let row: Vec<u8> = rgb(&gray).pixels().map(|p| p.0[0]).collect();
    assert_eq!(row, [177, 255, 9]);
    let colour = png(2, 1, 8, 6, &[], &[0, 255, 0, 100, 128, 1, 2, 3, 0]);
    assert_eq!(rgb(&colour).into_raw(), [255, 127, 177, 255, 255, 255]);
}

#[test]
fn palette() {
    let colours = [255, 0, 0, 10, 20, 30, 0, 0, 255];
    let plain = png(3, 1, 8, 3, &[(b"PLTE", &colours)], &[0, 2, 1, 0]);
    assert_eq!(rgb(&plain).into_raw(), [0, 0, 255, 10, 20, 30, 255, 0, 0]);
    let clear = png(3, 1, 8, 3, &[(b"PLTE", &colours), (b"tRNS", &[0])], &[0, 2, 1, 0]);
    assert_eq!(rgb(&clear).into_raw(), [0, 0, 255, 10, 20, 30, 255, 255, 255]);
}

#[test]
fn cmyk_jpeg() {
    let picture = rgb(&std::fs::read(repo("tests/images/decode/cmyk.jpg")).unwrap());
    assert_eq!(picture.dimensions(), (32, 32));
    let wanted = quarters();
    for (x, y) in [(8, 8), (24, 8), (8, 24), (24, 24)] {
        let (found, wanted) = (picture.get_pixel(x, y), wanted.get_pixel(x, y));
        let far = found.0.iter().zip(wanted.0).map(|(a, b)| a.abs_diff(b)).max().unwrap();
        assert!(far <= 12, "at {x},{y}: {found:?}, expected {wanted:?}");
    }
}

#[test]
fn the_same_picture_gives_the_same_vector() {
    let folder = temp();
    let photo = image::open(repo("tests/images/features/coffee.png")).unwrap().into_rgb8();
    let deep =
        image::ImageBuffer::from_fn(224, 224, |x, y| image::Rgb(photo.get_pixel(x, y).0.map(|v| v as u16 * 257)));
    let clear = image::ImageBuffer::from_fn(224, 224, |x, y| {
        let [r, g, b] = photo.get_pixel(x, y).0;
        image::Rgba([r, g, b, 255])
    });
    deep.save(folder.path().join("16.png")).unwrap();
    clear.save(folder.path().join("alpha.png")).unwrap();
    photo.save(folder.path().join("plain.png")).unwrap();
    photo.save(folder.path().join("plain.tiff")).unwrap();
    let out = run(["embed", text(folder.path())]);
    out.assert_quiet(0);
    let records = out.records();
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|r| r["vector"] == records[0]["vector"]));
    // And from standard input, under no name at all.
    let bytes = std::fs::read(folder.path().join("16.png")).unwrap();
    assert_eq!(finish(ocellus().args(["embed", "-"]), &bytes).record()["vector"], records[0]["vector"]);
}
