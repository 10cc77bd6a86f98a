//! What goes over the wire and what comes back: bodies of requests, answers told apart. Texts in, values out.

use super::prompts::Prompts;
use crate::geometry::Rect;
use base64::Engine;
use serde_json::{Value, json};

/// The label that the server gives to everything it finds by examples.
const BY_EXAMPLE: &str = "AUTOLABEL_OBJECT";

/// The server's words are cut to so many letters in a message.
const LONGEST_QUOTE: usize = 300;

/// A picture as it is sent.
#[derive(Debug, Clone, Copy)]
pub struct Picture<'a> {
    /// `image/jpeg` or `image/png`, see [`mime`].
    pub mime: &'a str,
    /// The file's bytes.
    pub bytes: &'a [u8],
    /// Width and height in pixels of the upright picture, without examples beside it.
    pub size: (u32, u32),
}

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub enum Ask<'a> {
    /// Objects that words name.
    Text(&'a Prompts),
    /// Objects of one class like the marked ones.
    Exemplars {
        /// The class.
        class: usize,
        /// Where the examples are in the picture that is sent.
        marks: &'a [Rect],
        /// Width and height of the picture that is sent, with the examples beside it.
        sent: (u32, u32),
    },
}

impl Ask<'_> {
    /// The class of an answer with this label.
    pub fn class(&self, label: &str) -> Option<usize> {
        match self {
            Ask::Text(prompts) => prompts.class(label),
            Ask::Exemplars { class, .. } => (label == BY_EXAMPLE).then_some(*class),
        }
    }

    /// Width and height of the picture that is sent, which without examples is of `size`.
    pub fn sent_size(&self, size: (u32, u32)) -> (u32, u32) {
        match self {
            Ask::Text(_) => size,
            Ask::Exemplars { sent, .. } => *sent,
        }
    }
}

/// How to look for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Wanted {
    /// The server's name of the model.
    pub model: String,
    /// Least score, 0 to 1.
    pub conf: f32,
    /// Polygons rather than boxes.
    pub outlines: bool,
}

/// The type of a file that can be sent as it is. None for all others, which are to be sent as PNG: formats that the server
/// need not know, and PNG files with EXIF data, which may say that the picture is turned and are not read by all.
pub fn mime(bytes: &[u8]) -> Option<&'static str> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Some("image/jpeg");
    }
    let mut chunks = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n")?;
    // Length, kind, data, checksum.
    while let Some(([a, b, c, d], rest)) = chunks.split_first_chunk() {
        if rest.starts_with(b"eXIf") {
            return None;
        }
        let data = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        chunks = rest.get(data.saturating_add(8)..).unwrap_or_default();
    }
    Some("image/png")
}

/// The body of a request.
pub fn body(picture: &Picture, ask: &Ask, wanted: &Wanted) -> Vec<u8> {
    // Left to itself, a model that knows both sends each object twice, as a polygon and as a box.
    let mut params = json!({
        // Not 0.30000001192...
        "conf_threshold": (wanted.conf as f64 * 1e6).round() / 1e6,
        "show_masks": wanted.outlines,
        "show_boxes": !wanted.outlines,
    });
    match ask {
        Ask::Text(prompts) => params["text_prompt"] = json!(prompts.text()),
        Ask::Exemplars { marks, .. } => {
            let mark = |r: &Rect| json!({"type": "rectangle", "data": [r.x1, r.y1, r.x2, r.y2], "label": 1});
            params["marks"] = marks.iter().map(mark).collect();
        }
    }
    let head =
        format!("{{\"model\":{},\"params\":{params},\"image\":\"data:{};base64,", json!(wanted.model), picture.mime);
    // The largest part needs no escapes and is copied once.
    let mut body = String::with_capacity(head.len() + picture.bytes.len().div_ceil(3) * 4 + 2);
    body.push_str(&head);
    base64::engine::general_purpose::STANDARD.encode_string(picture.bytes, &mut body);
    body.push_str("\"}");
    body.into_bytes()
}

/// An answer that is not what was asked for. The texts go on from the server's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Nothing was done; the same request may succeed later.
    Later(String),
    /// The server failed at it, which may pass or not.
    Crashed(String),
    /// This picture will always be refused, others need not be.
    Picture(String),
    /// No request will succeed.
    Run(String),
}

/// The shapes in the answer to a request.
pub fn shapes(status: u16, body: &[u8]) -> Result<Vec<Value>, Refusal> {
    let mut data = data(status, body)?;
    match data.get_mut("shapes").map(Value::take) {
        Some(Value::Array(shapes)) => Ok(shapes),
        _ => Err(Refusal::Later(format!("answers without a list of shapes: {}", quote(body)))),
    }
}

/// The names of the models that the server has loaded.
pub fn models(status: u16, body: &[u8]) -> Result<Vec<String>, Refusal> {
    match data(status, body)? {
        Value::Object(models) => Ok(models.into_iter().map(|(name, _)| name).collect()),
        _ => Err(Refusal::Later(format!("answers without a table of models: {}", quote(body)))),
    }
}

/// Whether `GET /health` was answered by a labelling server that is well.
pub fn health(status: u16, body: &[u8]) -> Result<(), Refusal> {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    match json.get("status").and_then(Value::as_str) {
        Some("healthy") if status == 200 => Ok(()),
        Some(says) if status == 200 => Err(Refusal::Later(format!("says that it is not well but {:?}", cut(says)))),
        // An answer of something before the server, which is away.
        _ if matches!(status, 429 | 500..) => Err(refused(status, body)),
        _ => Err(Refusal::Run(format!(
            "is no X-AnyLabeling-Server: GET /health is answered with {}{}",
            reason(status),
            quoted(body)
        ))),
    }
}

/// The field `data` of an answer.
fn data(status: u16, body: &[u8]) -> Result<Value, Refusal> {
    if status != 200 {
        return Err(refused(status, body));
    }
    let Ok(mut json) = serde_json::from_slice::<Value>(body) else {
        return Err(Refusal::Later(format!("answers with something other than JSON: {}", quote(body))));
    };
    match json.get("success") {
        Some(Value::Bool(true)) => Ok(json["data"].take()),
        Some(Value::Bool(false)) => Err(failed(&json["error"])),
        _ => Err(Refusal::Later(format!("answers as no X-AnyLabeling-Server does: {}", quote(body)))),
    }
}

/// An answer `success: false`.
fn failed(error: &Value) -> Refusal {
    let field = |name| error.get(name).and_then(Value::as_str).map(cut).unwrap_or_default();
    let message = field("message");
    match field("code").as_str() {
        "MODEL_NOT_FOUND" => Refusal::Run(format!("does not have the model: {message}")),
        "UNAUTHORIZED" => Refusal::Run(KEY.into()),
        "INVALID_IMAGE" => Refusal::Picture(format!("cannot read the picture: {message}")),
        "INFERENCE_ERROR" => Refusal::Picture(format!("failed at the picture: {message}")),
        code => Refusal::Picture(format!("refuses with {code}: {message}")),
    }
}

/// What a key that is missing or wrong is answered with.
const KEY: &str = "wants a key, or another than it got; give it with --key or OCELLUS_LABEL_KEY";

/// An answer with another status than 200.
fn refused(status: u16, body: &[u8]) -> Refusal {
    let json = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let with_reason = || format!("answers {}{}", reason(status), quoted(body));
    match status {
        401 | 403 => Refusal::Run(KEY.into()),
        413 => Refusal::Picture(format!("takes no picture so large: {}", with_reason())),
        422 => Refusal::Run(format!("does not understand the request, which is a defect: {}", faults(&json))),
        408 | 429 | 502 | 504 => Refusal::Later(with_reason()),
        503 => match json["detail"].as_str() {
            Some(detail) => Refusal::Later(format!("is busy: {}", cut(detail))),
            None => Refusal::Later(with_reason()),
        },
        500.. => Refusal::Crashed(with_reason()),
        _ => Refusal::Run(format!("is no X-AnyLabeling-Server: {}", with_reason())),
    }
}

/// What the server found wrong with a request. It repeats the request beside each fault, so only place and message are told.
fn faults(json: &Value) -> String {
    let place = |loc: &Value| match loc {
        Value::String(name) => name.clone(),
        other => other.to_string(),
    };
    let fault = |fault: &Value| {
        let places: Vec<String> = fault["loc"].as_array().map_or(Vec::new(), |l| l.iter().map(place).collect());
        format!("{}: {}", places.join("."), fault["msg"].as_str().unwrap_or("?"))
    };
    match &json["detail"] {
        Value::Array(list) => cut(&list.iter().map(fault).collect::<Vec<_>>().join("; ")),
        Value::String(text) => cut(text),
        _ => "it does not say why".into(),
    }
}

/// A status in words.
fn reason(status: u16) -> String {
    let words = ureq::http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    format!("{status} {words}").trim_end().to_string()
}

/// The beginning of a body, for a message.
fn quote(body: &[u8]) -> String {
    format!("{:?}", cut(&String::from_utf8_lossy(&body[..body.len().min(4 * LONGEST_QUOTE)])))
}

/// The same after a colon; nothing for nothing.
fn quoted(body: &[u8]) -> String {
    if body.is_empty() { String::new() } else { format!(": {}", quote(body)) }
}

/// A text in one line, cut to what fits in a message.
pub fn cut(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty());
    let line = line.collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}...", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPES: &str = r#"{"success":true,"data":{"shapes":[{"label":"a"}],"description":"","replace":null}}"#;

    fn sent(ask: &Ask, outlines: bool) -> Value {
        let wanted = Wanted { model: "segment \"anything\" 3".into(), conf: 0.3, outlines };
        let picture = Picture { mime: "image/jpeg", bytes: b"\xff\xd8\xff..", size: (10, 10) };
        serde_json::from_slice(&body(&picture, ask, &wanted)).unwrap()
    }

    #[test]
    fn a_body_holds_model_picture_and_parameters() {
        let prompts = Prompts::new([(0, "gate \"valve\""), (1, "pump")]).unwrap();
        let expected = json!({"model": "segment \"anything\" 3", "image": "data:image/jpeg;base64,/9j/Li4=", "params":
            {"conf_threshold": 0.3, "show_masks": false, "show_boxes": true, "text_prompt": "gate \"valve\", pump"}});
        assert_eq!(sent(&Ask::Text(&prompts), false), expected);
        let marks = [Rect::from_xywh(110.0, 16.0, 20.0, 30.5)];
        let ask = Ask::Exemplars { class: 2, marks: &marks, sent: (200, 100) };
        let expected = json!({"conf_threshold": 0.3, "show_masks": true, "show_boxes": false,
            "marks": [{"type": "rectangle", "data": [110.0, 16.0, 130.0, 46.5], "label": 1}]});
        assert_eq!(sent(&ask, true)["params"], expected);
    }

    #[test]
    fn jpeg_and_plain_png_are_sent_as_they_are() {
        let chunk =
            |kind: &[u8; 4], data: &[u8]| [&(data.len() as u32).to_be_bytes()[..], kind, data, &[0; 4]].concat();
        let signature = b"\x89PNG\r\n\x1a\n".to_vec();
        let png = [signature.clone(), chunk(b"IHDR", &[0; 13]), chunk(b"IDAT", b"eXIf eXIf"), chunk(b"IEND", b"")];
        assert_eq!(mime(&png.concat()), Some("image/png"));
        let turned = [&png[..3], &[chunk(b"eXIf", b"MM"), chunk(b"IEND", b"")]].concat();
        assert_eq!(mime(&turned.concat()), None);
        // Cut off, or with a length beyond the end.
        for end in 8..png.concat().len() {
            assert_eq!(mime(&png.concat()[..end]), Some("image/png"));
        }
        assert_eq!(mime(&[&signature[..], &[0xff; 9]].concat()), Some("image/png"));
        assert_eq!(mime(b"\xff\xd8\xff\xe0"), Some("image/jpeg"));
        for other in [&b"BM12"[..], b"II*\0", b"RIFF....WEBP", b""] {
            assert_eq!(mime(other), None);
        }
    }

    #[test]
    fn answers_are_told_apart() {
        assert_eq!(shapes(200, SHAPES.as_bytes()), Ok(vec![json!({"label": "a"})]));
        let refusal = |status, body: &str| shapes(status, body.as_bytes()).unwrap_err();
        let error =
            |code: &str| format!(r#"{{"success":false,"error":{{"code":"{code}","message":"so","details":null}}}}"#);
        let picture = |text: &str| Refusal::Picture(text.into());
        assert_eq!(refusal(200, &error("INVALID_IMAGE")), picture("cannot read the picture: so"));
        assert_eq!(refusal(200, &error("INFERENCE_ERROR")), picture("failed at the picture: so"));
        assert_eq!(refusal(200, &error("OTHER")), picture("refuses with OTHER: so"));
        assert_eq!(refusal(200, &error("MODEL_NOT_FOUND")), Refusal::Run("does not have the model: so".into()));
        assert_eq!(refusal(401, &error("UNAUTHORIZED")), Refusal::Run(KEY.into()));
        let full = r#"{"detail":"Task queue is full, please try again later"}"#;
        let later = "is busy: Task queue is full, please try again later";
        assert_eq!(refusal(503, full), Refusal::Later(later.into()));
        let crash = "answers 500 Internal Server Error: \"Internal Server Error\"";
        assert_eq!(refusal(500, "Internal Server Error"), Refusal::Crashed(crash.into()));
        assert_eq!(refusal(502, ""), Refusal::Later("answers 502 Bad Gateway".into()));
        assert!(matches!(refusal(413, "<html>"), Refusal::Picture(m) if m.contains("413")));
        assert!(matches!(refusal(404, r#"{"detail":"Not Found"}"#), Refusal::Run(m) if m.contains("404 Not Found")));
    }

    #[test]
    fn a_request_that_is_not_understood_is_named_without_its_picture() {
        let detail = json!({"detail": [
            {"type": "dict_type", "loc": ["body", "params"], "msg": "Input should be a valid dictionary", "input": "SECRET"},
            {"type": "x", "loc": ["body", 3], "msg": "Field required", "input": {"image": "SECRET"}}]});
        let Err(Refusal::Run(text)) = shapes(422, detail.to_string().as_bytes()) else { panic!("no end") };
        let words = "body.params: Input should be a valid dictionary; body.3: Field required";
        assert!(text.ends_with(words) && !text.contains("SECRET"), "{text}");
        assert!(matches!(shapes(422, b"{}"), Err(Refusal::Run(m)) if m.contains("does not say why")));
    }

    #[test]
    fn rubbish_is_no_answer() {
        let long = "x".repeat(100_000);
        for body in [
            "",
            "null",
            "[]",
            "{}",
            "<html>\n\u{7}</html>",
            &SHAPES[..40],
            r#"{"success":true}"#,
            r#"{"success":true,"data":{"shapes":null}}"#,
            r#"{"success":"yes"}"#,
            &long,
        ] {
            let Err(Refusal::Later(text)) = shapes(200, body.as_bytes()) else { panic!("{body:?} was taken") };
            assert!(text.len() < 500 && !text.contains(char::is_control), "{text}");
        }
        assert!(shapes(200, &[0xff, 0xfe, 0]).is_err());
    }

    #[test]
    fn health_and_models() {
        let healthy = br#"{"status":"healthy","models_loaded":2,"timestamp":"2026-11-21T09:09:24.595354Z"}"#;
        assert_eq!(health(200, healthy), Ok(()));
        assert!(matches!(health(200, br#"{"status":"starting"}"#), Err(Refusal::Later(_))));
        assert!(matches!(health(502, b"<html>"), Err(Refusal::Later(_))));
        for (status, body) in [(404, r#"{"detail":"Not Found"}"#), (200, "<html>"), (200, "[]"), (301, "")] {
            assert!(matches!(health(status, body.as_bytes()), Err(Refusal::Run(m)) if m.contains("is no X-Any")));
        }
        let list = br#"{"success":true,"data":{"yolo11n":{"display_name":"y"},"sam":{}}}"#;
        assert_eq!(models(200, list).unwrap(), ["sam", "yolo11n"]);
        assert!(matches!(models(200, br#"{"success":true,"data":[]}"#), Err(Refusal::Later(_))));
    }
}
