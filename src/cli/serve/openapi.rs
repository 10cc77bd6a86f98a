//! The description of the routes for programs: OpenAPI 3.1.

use super::query::{self, Kind, Param};
use serde_json::{Map, Value, json};

const JSON: &str = "application/json";
const PNG: &str = "image/png";
const ANY_PICTURE: &str = "image/*";
const METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What a request carries.
enum Body {
    Nothing,
    Picture,
    /// JSON of this schema.
    Members(Value),
}

/// The document. The routes are those of `routes`, the parameters those of [`query`].
pub fn document() -> Value {
    let mut paths = Map::new();
    for (path, method, operation) in operations() {
        let entry = paths.entry(path).or_insert_with(|| json!({}));
        entry[method] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "ocellus", "version": env!("CARGO_PKG_VERSION"), "license": {"name": "MIT OR Apache-2.0"},
            "description": "Vision pipelines on this box: a picture in, a record out. Boxes are [x1, y1, x2, y2] in pixels of the picture after its EXIF orientation.",
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"record": record_schema(), "error": error_schema()},
        },
        "security": [{}, {"token": []}],
        "paths": paths,
    })
}

fn operations() -> Vec<(&'static str, &'static str, Value)> {
    let look = |path, summary, known: &[Param]| {
        let kinds: &[&str] = if known.iter().any(|p| p.kind == Kind::Picture) { &[JSON, PNG] } else { &[JSON] };
        (path, "post", operation(path, summary, known, Body::Picture, kinds))
    };
    let get =
        |path, summary, known: &[Param], kind| (path, "get", operation(path, summary, known, Body::Nothing, &[kind]));
    let tell = |path, summary, schema| (path, "post", operation(path, summary, &[], Body::Members(schema), &[JSON]));
    let delete = |path, summary| (path, "delete", operation(path, summary, &[], Body::Nothing, &[JSON]));
    let open = |(path, method, mut operation): (&'static str, &'static str, Value)| {
        operation["security"] = json!([{}]);
        (path, method, operation)
    };
    vec![
        look("/v1/detect", "Objects: label, score and box", query::DETECT),
        look("/v1/mask", "Masks of people, or of what --mask-model knows", query::MASK),
        look("/v1/ocr", "Lines of text", query::OCR),
        look("/v1/embed", "The feature vector", query::EMBED),
        look("/v1/inspect/{recipe}", "Pass, fail or misplaced by a recipe; nothing is kept of it", query::INSPECT),
        get("/v1/models", "The networks in this build", &[], JSON),
        get("/v1/recipes", "The recipes and their regions", &[], JSON),
        get("/v1/recipes/{recipe}/golden", "The golden image", &[], ANY_PICTURE),
        tell("/v1/recipes/{recipe}/rollback", "Go back to the version before", who(json!({}), &[])),
        look("/v1/parts/{part}", "Judge a part by the recipe of this name and keep it on record", query::PART),
        get("/v1/parts", "The last parts, the newest first", query::PARTS, JSON),
        get("/v1/parts/{part}", "The part of this number", &[], JSON),
        get("/v1/parts/{part}/thumbnail", "Its picture with the findings, small", &[], PNG),
        get("/v1/parts/{part}/findings", "Its picture with the findings", &[], PNG),
        get("/v1/parts/{part}/picture", "Its photograph", &[], ANY_PICTURE),
        tell(
            "/v1/parts/{part}/judgement",
            "What a person says of it",
            who(json!({"judged": {"enum": ["good", "bad"]}}), &["judged"]),
        ),
        tell("/v1/parts/{part}/learn", "Learn its recipe anew with it as a good part", who(json!({}), &[])),
        get("/v1/counters", "What passed and failed in the last day and hour", query::COUNTERS, JSON),
        get("/v1/drafts", "Recipes in the making", &[], JSON),
        delete("/v1/drafts/{draft}", "Delete one"),
        look("/v1/drafts/{draft}/goods", "Add a good picture; the first is the golden image", query::EMBED),
        get("/v1/drafts/{draft}/goods/{number}", "A good picture, counted from 1", &[], ANY_PICTURE),
        delete("/v1/drafts/{draft}/goods/{number}", "Delete a good picture"),
        tell("/v1/drafts/{draft}/learn", "Learn from the good pictures", plan()),
        look("/v1/drafts/{draft}/try", "Inspect with what was learned", query::INSPECT),
        tell("/v1/drafts/{draft}/publish", "Make it a recipe", who(json!({}), &[])),
        get("/v1/station", "What the page has to know", &[], JSON),
        open(get("/health", "Whether the process answers", &[], JSON)),
        open(get("/ready", "Whether networks and recipes are loaded", &[], JSON)),
        get("/metrics", "Counters for Prometheus", &[], METRICS),
        get("/openapi.json", "This document", &[], JSON),
        open(get("/", "The page", &[], "text/html; charset=utf-8")),
        open(get("/kiosk.css", "Its style", &[], "text/css; charset=utf-8")),
        open(get("/kiosk.js", "Its program", &[], "text/javascript; charset=utf-8")),
    ]
}

/// Who wants something and why, with further members.
fn who(more: Value, required: &[&str]) -> Value {
    let mut properties = more;
    for word in ["operator", "reason"] {
        properties[word] = json!({"type": "string", "minLength": 1, "maxLength": 200});
    }
    let required: Vec<&str> = required.iter().copied().chain(["operator", "reason"]).collect();
    json!({"type": "object", "required": required, "properties": properties, "additionalProperties": false})
}

fn plan() -> Value {
    let side = json!({"type": "integer", "minimum": 0});
    let region = json!({"type": "object", "required": ["name", "rect", "method"], "additionalProperties": false, "properties": {
        "name": {"type": "string"}, "rect": {"type": "array", "items": side, "minItems": 4, "maxItems": 4},
        "method": {"enum": ["patch", "cosine", "classical", "text"]},
        "pattern": {"type": "string"}, "expected": {"type": "string"}, "check": {"type": "string"},
    }});
    json!({"type": "object", "required": ["regions"], "additionalProperties": false, "properties": {
        "regions": {"type": "array", "items": region}, "align": {"enum": ["auto", "pose", "none"]},
    }})
}

/// What records have in common; each route adds what the command's `--json` has.
fn record_schema() -> Value {
    json!({"type": "object", "required": ["schema", "type", "status"], "properties": {
        "schema": {"type": "integer"}, "type": {"type": "string"}, "path": {"type": "string"},
        "status": {"enum": ["ok", "error"]}, "error": {"type": "string"}, "ms": {"type": "number"},
    }})
}

fn error_schema() -> Value {
    json!({"type": "object", "required": ["schema", "status", "error"], "properties": {
        "schema": {"type": "integer"}, "status": {"const": "error"}, "error": {"type": "string"},
    }})
}

/// What every route may answer.
const COMMON: [(&str, &str); 5] = [
    ("405", "Not this method"),
    ("401", "The token is missing or wrong"),
    ("403", "A page of another site, or another machine without a token"),
    ("503", "Not yet, or the queue is full; try again after Retry-After seconds"),
    ("504", "Not done in time"),
];
/// What a route with a body or parameters may answer.
const ASKED: [(&str, &str); 5] = [
    ("400", "A parameter, the form or a member is wrong, or there is no picture"),
    ("408", "The body did not arrive in time"),
    ("413", "The body is too large"),
    ("422", "The picture cannot be used, or nothing can be learned of it"),
    ("500", "A recipe or a network cannot be used, or a defect"),
];
/// What a route with a name in its address, or one that needs `--state`, may answer.
const NAMED: [(&str, &str); 3] = [
    ("400", "A name that is none"),
    ("404", "There is no such thing, or nothing is kept on record"),
    ("409", "It is not the time for that: not judged good, not learned, a name that is taken"),
];

fn operation(path: &str, summary: &str, known: &[Param], body: Body, kinds: &[&str]) -> Value {
    let mut responses = Map::new();
    let lists: [&[(&str, &str)]; 3] = [&NAMED, &ASKED, &COMMON];
    for (status, text) in lists.concat() {
        let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/error"}}});
        responses.insert(status.into(), json!({"description": text, "content": content}));
    }
    let content: Map<String, Value> = kinds.iter().map(|kind| (kind.to_string(), json!({}))).collect();
    responses.insert("200".into(), json!({"description": summary, "content": content}));
    if matches!(body, Body::Picture) {
        responses["200"]["content"][JSON] = json!({"schema": {"$ref": "#/components/schemas/record"}});
    }
    let names = path.split(['{', '}']).skip(1).step_by(2);
    let name =
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}});
    let mut parameters: Vec<Value> = names.map(name).chain(known.iter().map(parameter)).collect();
    let mut operation = json!({"summary": summary});
    match body {
        Body::Nothing => {}
        Body::Picture => {
            parameters.push(json!({"name": query::NAME, "in": "query", "schema": {"type": "string"},
                "description": "what the picture is called in its record"}));
            let form = json!({"type": "object", "required": ["image"], "properties": {"image": {"type": "string", "contentMediaType": "application/octet-stream"}}});
            operation["requestBody"] = json!({"required": true, "content": {
                "image/*": {}, "application/octet-stream": {}, "multipart/form-data": {"schema": form},
            }});
        }
        Body::Members(schema) => {
            operation["requestBody"] = json!({"required": true, "content": {JSON: {"schema": schema}}});
        }
    }
    operation["parameters"] = json!(parameters);
    operation["responses"] = json!(responses);
    operation
}

fn parameter(param: &Param) -> Value {
    let schema = match param.kind {
        Kind::Number(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
        Kind::Integer(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
        Kind::Text => json!({"type": "string"}),
        Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
        Kind::Switch | Kind::Picture => json!({"type": "boolean"}),
    };
    json!({"name": param.name, "in": "query", "schema": schema, "description": param.about})
}
