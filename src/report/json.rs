//! JSON Lines: one record an input, in input order, failures as records too. Boxes are `[x1, y1, x2, y2]` in source
//! pixels after EXIF orientation.

use crate::cells::Cells;
use crate::error::{Error, Result};
use crate::models::manifest::ModelInfo;
use crate::postprocess::detection::Detection;
use crate::postprocess::yolic::Seen;
use crate::recipe::{Align, Folder};
use crate::report::detections;
use crate::report::duplicates::{Group, Member, Totals};
use crate::report::hazards::{self, Look};
use crate::tasks::dedup::hash::Bits;
use crate::tasks::inspect::{Defect, Inspection, RegionResult, Verdict};
use crate::tasks::mask::Summary;
use crate::tasks::ocr::Line;
use crate::zones;
use serde::Serialize;
use serde_json::json;

/// Version of the records.
pub const SCHEMA: u32 = 1;

/// The name of a verdict in records.
pub fn verdict(v: Verdict) -> &'static str {
    match v {
        Verdict::Pass => "pass",
        Verdict::Fail => "fail",
        Verdict::Misplaced => "misplaced",
    }
}

/// The head that every record about an input shares, followed by `body` or by the error.
#[derive(Serialize)]
struct Record<'a, T: Serialize> {
    schema: u32,
    #[serde(rename = "type")]
    kind: &'a str,
    path: &'a str,
    status: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    body: Option<T>,
}

/// A record about the picture at `path`: `body`, or why there is none.
pub(super) fn record<T: Serialize>(kind: &str, path: &str, body: std::result::Result<T, &Error>) -> Result<String> {
    let (status, error, body) = match body {
        Ok(body) => ("ok", None, Some(body)),
        Err(error) => ("error", Some(error.one_line()), None),
    };
    write(&Record { schema: SCHEMA, kind, path, status, error, body })
}

/// A record of what could not be done.
pub fn failed(kind: &str, path: &str, error: &Error) -> Result<String> {
    record::<()>(kind, path, Err(error))
}

/// A record of what was done before and is not done again.
pub fn skipped(kind: &str, path: &str) -> Result<String> {
    write(&Record::<()> { schema: SCHEMA, kind, path, status: "skipped", error: None, body: None })
}

pub(super) fn write<T: Serialize>(value: &T) -> Result<String> {
    serde_json::to_string(value).map_err(|e| Error::Internal(format!("writing JSON: {e}")))
}

/// A record of `ocellus models`.
pub fn model(info: &ModelInfo, bytes: usize) -> Result<String> {
    write(&json!({
        "schema": SCHEMA, "type": "model", "id": info.id, "task": info.task, "bytes": bytes, "sha256": info.sha256,
        "licence": info.licence, "source": info.source, "description": info.description,
    }))
}

/// A record of `ocellus embed`.
pub fn embed(path: &str, model: &str, result: &Result<Vec<f32>>) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        model: &'a str,
        dim: usize,
        vector: &'a [f32],
    }
    record("embed", path, result.as_ref().map(|v| Body { model, dim: v.len(), vector: v }))
}

/// An object in a record.
#[derive(Serialize)]
struct DetectionBody<'a> {
    label: &'a str,
    class: usize,
    score: f64,
    #[serde(rename = "box")]
    sides: [f64; 4],
}

impl<'a> DetectionBody<'a> {
    fn new(d: &Detection, labels: &'a [String]) -> Self {
        let sides: [f32; 4] = d.rect.into();
        DetectionBody {
            label: detections::label(labels, d.class),
            class: d.class,
            score: round(d.score, 4),
            sides: sides.map(|v| round(v, 2)),
        }
    }
}

/// A record of `ocellus detect`; the result comes with the milliseconds that it took.
pub fn detect(
    path: &str,
    labels: &[String],
    result: std::result::Result<(&[Detection], f64), &Error>,
) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        detections: Vec<DetectionBody<'a>>,
        ms: f64,
    }
    let body = result.map(|(found, ms)| Body {
        detections: found.iter().map(|d| DetectionBody::new(d, labels)).collect(),
        ms: (ms * 100.0).round() / 100.0,
    });
    record("detect", path, body)
}

/// A record of `ocellus hazard`; the result comes with the milliseconds that it took. Cells that are empty are left out.
pub fn hazard(path: &str, cells: &Cells, result: std::result::Result<(&Look, f64), &Error>) -> Result<String> {
    #[derive(Serialize)]
    struct LabelBody<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        cell: Option<usize>,
        label: &'a str,
        score: f64,
    }
    #[derive(Serialize)]
    struct RuleBody<'a> {
        name: &'a str,
        action: &'a str,
        hits: Vec<LabelBody<'a>>,
    }
    #[derive(Serialize)]
    struct CellBody<'a> {
        cell: usize,
        labels: Vec<LabelBody<'a>>,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        verdict: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        rules: Option<Vec<RuleBody<'a>>>,
        cells: Vec<CellBody<'a>>,
        ms: f64,
    }
    let seen = |cell: Option<usize>, s: &Seen| LabelBody {
        cell,
        label: detections::label(&cells.labels, s.label),
        score: round(s.score, 4),
    };
    let body = result.map(|(look, ms)| {
        let fired = look.fired.as_deref();
        Body {
            verdict: fired.map(|f| hazards::verdict(zones::verdict(f))),
            rules: fired.map(|all| {
                all.iter()
                    .map(|f| RuleBody {
                        name: &f.name,
                        action: hazards::action(f.action),
                        hits: f.hits.iter().map(|h| seen(Some(h.cell), &h.seen)).collect(),
                    })
                    .collect()
            }),
            cells: (look.found.iter().enumerate().filter(|(_, found)| !found.is_empty()))
                .map(|(i, found)| CellBody { cell: i + 1, labels: found.iter().map(|s| seen(None, s)).collect() })
                .collect(),
            ms: (ms * 100.0).round() / 100.0,
        }
    });
    record("hazard", path, body)
}

/// A record of `ocellus ocr`; the result comes with the milliseconds that it took.
pub fn ocr(path: &str, result: std::result::Result<(&[Line], f64), &Error>) -> Result<String> {
    #[derive(Serialize)]
    struct LineBody<'a> {
        text: &'a str,
        score: f64,
        quad: [[f64; 2]; 4],
        chars: Vec<f64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        matched: Option<bool>,
        #[serde(skip_serializing_if = "Option::is_none")]
        unconstrained: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Body<'a> {
        lines: Vec<LineBody<'a>>,
        ms: f64,
    }
    fn line(l: &Line) -> LineBody<'_> {
        LineBody {
            text: &l.text,
            score: round(l.score, 4),
            quad: l.quad.0.map(|(x, y)| [round(x, 1), round(y, 1)]),
            chars: l.chars.iter().map(|&c| round(c, 4)).collect(),
            matched: l.matched,
            unconstrained: l.unconstrained.as_deref(),
        }
    }
    let body =
        result.map(|(lines, ms)| Body { lines: lines.iter().map(line).collect(), ms: (ms * 100.0).round() / 100.0 });
    record("ocr", path, body)
}

/// A record of `ocellus mask`: the mask's file if there is one, what was masked, the share of the picture that is, milliseconds.
pub fn mask(
    path: &str,
    labels: &[String],
    result: std::result::Result<(Option<&str>, &Summary, f64), &Error>,
) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        #[serde(skip_serializing_if = "Option::is_none")]
        mask: Option<&'a str>,
        masked: f64,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        merged: bool,
        objects: Vec<ObjectBody<'a>>,
        ms: f64,
    }
    #[derive(Serialize)]
    struct ObjectBody<'a> {
        #[serde(flatten)]
        detection: DetectionBody<'a>,
        area: usize,
    }
    let body = result.map(|(file, masked, ms)| Body {
        mask: file,
        masked: round(masked.share, 4),
        merged: masked.merged,
        objects: masked
            .objects
            .iter()
            .map(|o| ObjectBody { detection: DetectionBody::new(&o.detection, labels), area: o.area })
            .collect(),
        ms: (ms * 100.0).round() / 100.0,
    });
    record("mask", path, body)
}

/// A record of `ocellus inspect`; the result comes with the milliseconds that it took.
pub fn inspect(path: &str, result: std::result::Result<(&Inspection, f64), &Error>) -> Result<String> {
    let body = result.map(|(inspection, ms)| InspectBody {
        verdict: verdict(inspection.verdict),
        score: inspection.score,
        threshold: inspection.threshold,
        reason: inspection.reason.as_deref(),
        pose: inspection.pose.map(|p| PoseBody {
            shift_px: [round(p.shift_px.0, 2), round(p.shift_px.1, 2)],
            angle_deg: round(p.transform.degrees(), 2),
            scale: round(p.transform.scale(), 4),
            correlation: round(p.correlation, 3),
        }),
        regions: inspection.regions.iter().map(RegionBody::new).collect(),
        ms: (ms * 100.0).round() / 100.0,
    });
    record("inspect", path, body)
}

#[derive(Serialize)]
struct InspectBody<'a> {
    verdict: &'static str,
    score: f32,
    threshold: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pose: Option<PoseBody>,
    regions: Vec<RegionBody<'a>>,
    ms: f64,
}

#[derive(Serialize)]
struct PoseBody {
    shift_px: [f64; 2],
    angle_deg: f64,
    scale: f64,
    correlation: f64,
}

#[derive(Serialize)]
struct RegionBody<'a> {
    name: &'a str,
    method: &'static str,
    verdict: &'static str,
    score: f32,
    threshold: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    defects: Vec<DefectBody>,
}

#[derive(Serialize)]
struct DefectBody {
    #[serde(rename = "box")]
    sides: [f64; 4],
    score: f32,
}

impl<'a> RegionBody<'a> {
    fn new(r: &'a RegionResult) -> Self {
        let defect = |d: &Defect| {
            let sides: [f32; 4] = d.rect.into();
            DefectBody { sides: sides.map(|v| round(v, 1)), score: d.score }
        };
        RegionBody {
            name: &r.name,
            method: r.method.name(),
            verdict: verdict(r.verdict),
            score: r.score,
            threshold: r.threshold,
            text: r.text.as_deref(),
            defects: r.defects.iter().map(defect).collect(),
        }
    }
}

/// A record of `ocellus learn`. `held_out` has the scores of each region's good parts, each held against the memory of
/// the others; `holdout` false calls on the good pictures of another day, of how many.
pub fn learned(folder: &Folder, held_out: &[Vec<f32>], holdout: Option<(usize, usize)>) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        recipe: String,
        good_images: usize,
        align: &'a Align,
        regions: Vec<RegionLearned<'a>>,
        #[serde(skip_serializing_if = "Option::is_none")]
        holdout: Option<Holdout>,
    }
    #[derive(Serialize)]
    struct RegionLearned<'a> {
        name: &'a str,
        method: &'static str,
        threshold: f32,
        held_out: &'a [f32],
        memory_bytes: usize,
    }
    #[derive(Serialize)]
    struct Holdout {
        false_calls: usize,
        images: usize,
    }
    let recipe = &folder.recipe;
    let regions = recipe.regions.iter().zip(held_out).zip(&folder.memories);
    plain(
        "learn",
        Body {
            recipe: folder.path.display().to_string(),
            good_images: recipe.good_images,
            align: &recipe.align,
            regions: regions
                .map(|((r, held_out), memory)| RegionLearned {
                    name: &r.name,
                    method: r.method.name(),
                    threshold: r.threshold,
                    held_out,
                    memory_bytes: memory.len(),
                })
                .collect(),
            holdout: holdout.map(|(false_calls, images)| Holdout { false_calls, images }),
        },
    )
}

/// A plain record without an input, such as those of `learn` and `evaluate`.
pub fn plain(kind: &str, body: impl Serialize) -> Result<String> {
    #[derive(Serialize)]
    struct Plain<'a, T: Serialize> {
        schema: u32,
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(flatten)]
        body: T,
    }
    write(&Plain { schema: SCHEMA, kind, body })
}

/// A file of a group in a record.
#[derive(Serialize)]
struct MemberBody<'a> {
    path: std::borrow::Cow<'a, str>,
    /// The path's bytes in hexadecimal digits, where it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    distance: u32,
    exact: bool,
    remove: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    reference: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    turned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cosine: Option<f64>,
    width: Option<u32>,
    height: Option<u32>,
    bytes: u64,
    modified: i64,
    hash: Option<String>,
}

/// A record of a group of `ocellus dedup`: the file to keep first, times in seconds since 1970.
pub fn dedup_group(group: &Group, bits: Bits) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a> {
        status: &'static str,
        kind: &'static str,
        keep: std::borrow::Cow<'a, str>,
        files: Vec<MemberBody<'a>>,
    }
    fn member(i: usize, m: &Member, bits: Bits) -> MemberBody<'_> {
        let bytes = m.path.as_os_str().as_encoded_bytes();
        MemberBody {
            path: m.path.to_string_lossy(),
            path_bytes: m.path.to_str().is_none().then(|| bytes.iter().map(|b| format!("{b:02x}")).collect()),
            distance: m.distance,
            exact: m.exact,
            remove: i > 0 && !m.reference,
            reference: m.reference,
            turned: m.turn != 0,
            cosine: m.cosine.map(|c| round(c, 4)),
            width: m.size.map(|s| s.0),
            height: m.size.map(|s| s.1),
            bytes: m.bytes,
            modified: m.modified.div_euclid(1_000_000_000),
            hash: m.hash.map(|h| h.hex(bits)),
        }
    }
    let body = Body {
        status: "ok",
        kind: if group.exact() { "exact" } else { "near" },
        keep: group.keep().path.to_string_lossy(),
        files: group.members.iter().enumerate().map(|(i, m)| member(i, m, bits)).collect(),
    };
    plain("dedup_group", body)
}

/// The last record of `ocellus dedup`; `failed` files could not be used.
pub fn dedup_summary(totals: &Totals, failed: usize) -> Result<String> {
    let t = totals;
    plain(
        "dedup_summary",
        json!({
            "files": t.files, "hashed": t.hashed, "cached": t.known, "failed": failed, "blank": t.blank,
            "links": t.links, "aliases": t.aliases, "groups": t.groups, "exact_groups": t.exact,
            "removable": t.spare, "removable_bytes": t.spare_bytes,
        }),
    )
}

/// A record of `ocellus dedup compare`.
pub fn compared(a: &str, b: &str, body: impl Serialize) -> Result<String> {
    #[derive(Serialize)]
    struct Body<'a, T: Serialize> {
        status: &'static str,
        a: &'a str,
        b: &'a str,
        #[serde(flatten)]
        body: T,
    }
    plain("dedup_compare", Body { status: "ok", a, b, body })
}

/// A record of `ocellus dedup hash`.
pub fn hash(path: &str, result: std::result::Result<(String, u32, u32), &Error>) -> Result<String> {
    #[derive(Serialize)]
    struct Body {
        hash: String,
        width: u32,
        height: u32,
    }
    record("dedup_hash", path, result.map(|(hash, width, height)| Body { hash, width, height }))
}

/// A group among the hashes of the file `name`: line, hexadecimal digits and distance to the first of each.
pub fn hash_group(name: &str, members: &[(u32, String, u32)]) -> Result<String> {
    let path = |line: u32| format!("{name}:{line}");
    let file = |(line, hash, distance): &(u32, String, u32)| json!({"path": path(*line), "line": line, "hash": hash, "distance": distance});
    let kind = if members.iter().all(|m| m.2 == 0) { "exact" } else { "near" };
    let keep = members.first().map(|m| path(m.0));
    let files: Vec<_> = members.iter().map(file).collect();
    plain("dedup_group", json!({"status": "ok", "kind": kind, "keep": keep, "files": files}))
}

/// Two lines of a file of hashes that are near each other.
pub fn hash_pair(a: u32, b: u32, distance: u32) -> Result<String> {
    plain("dedup_pair", json!({"a": a, "b": b, "distance": distance}))
}

/// Rounded to `digits` decimals, as f64 so that JSON shows no more of them.
pub(super) fn round(value: f32, digits: i32) -> f64 {
    let unit = 10f64.powi(digits);
    (value as f64 * unit).round() / unit
}
/// A record of `ocellus label review` about the page at `path`.
pub fn reviewed(path: &str, shown: &crate::report::review::Shown) -> Result<String> {
    record("label_review", path, Ok(shown))
}

/// A record of `ocellus label apply` about the data set at `path`.
pub fn applied(path: &str, applied: &crate::report::applied::Applied) -> Result<String> {
    record("label_apply", path, Ok(applied))
}
