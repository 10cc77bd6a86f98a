//! The description of the routes for programs: OpenAPI 3.1.

use super::query::{self, Kind, Param};
use serde_json::{Map, Value, json};

/// The document. The routes are those of `routes`, the parameters those of [`query`].
pub fn document() -> Value {
    let post = |summary: &str, known: &[Param], recipe: bool| json!({"post": operation(summary, known, recipe)});
    let get = |summary: &str, kind: &str, open: bool| json!({"get": look_up(summary, kind, open)});
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
        "paths": {
            "/v1/detect": post("Objects: label, score and box", query::DETECT, false),
            "/v1/mask": post("Masks of people, or of what --mask-model knows", query::MASK, false),
            "/v1/ocr": post("Lines of text", query::OCR, false),
            "/v1/embed": post("The feature vector", query::EMBED, false),
            "/v1/inspect/{recipe}": post("Pass, fail or misplaced by a recipe", query::INSPECT, true),
            "/v1/models": get("The networks in this build", "application/json", false),
            "/v1/recipes": get("The recipes and their regions", "application/json", false),
            "/health": get("Whether the process answers", "application/json", true),
            "/ready": get("Whether networks and recipes are loaded", "application/json", true),
            "/metrics": get("Counters for Prometheus", "application/openmetrics-text; version=1.0.0; charset=utf-8", false),
            "/openapi.json": get("This document", "application/json", false),
        },
    })
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

fn errors(list: &[(&str, &str)]) -> Map<String, Value> {
    let content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/error"}}});
    list.iter().map(|(status, text)| (status.to_string(), json!({"description": text, "content": content}))).collect()
}

/// What every route may answer.
const COMMON: [(&str, &str); 3] = [
    ("405", "Not this method"),
    ("401", "The token is missing or wrong"),
    ("403", "A page of another site, or another machine without a token"),
];

fn operation(summary: &str, known: &[Param], recipe: bool) -> Value {
    let query = known.iter().map(|p| {
        let schema = match p.kind {
            Kind::Number(low, high) => json!({"type": "number", "minimum": low, "maximum": high}),
            Kind::Integer(low, high) => json!({"type": "integer", "minimum": low, "maximum": high}),
            Kind::Text => json!({"type": "string"}),
            Kind::Texts => json!({"type": "array", "items": {"type": "string"}}),
            Kind::Switch | Kind::Picture => json!({"type": "boolean"}),
        };
        json!({"name": p.name, "in": "query", "schema": schema, "description": p.about})
    });
    let name = json!({"name": query::NAME, "in": "query", "schema": {"type": "string"},
        "description": "what the picture is called in its record"});
    let path = json!({"name": "recipe", "in": "path", "required": true, "schema": {"type": "string"}});
    let parameters: Vec<Value> = query.chain([name]).chain(recipe.then_some(path)).collect();
    let mut responses = errors(&COMMON);
    responses.append(&mut errors(&[
        ("400", "A parameter or the form is wrong, or there is no picture"),
        ("408", "The body did not arrive in time"),
        ("413", "The body is too large"),
        ("422", "The picture cannot be used"),
        ("500", "A recipe or a network cannot be used, or a defect"),
        ("503", "The queue is full; try again after Retry-After seconds"),
        ("504", "Not done in time"),
    ]));
    if recipe {
        responses.append(&mut errors(&[("404", "There is no such recipe")]));
    }
    let mut content = json!({"application/json": {"schema": {"$ref": "#/components/schemas/record"}}});
    if known.iter().any(|p| p.kind == Kind::Picture) {
        content["image/png"] = json!({});
    }
    responses.insert(
        "200".into(),
        json!({"description": "The record of the command's --json, or the picture", "content": content}),
    );
    let form = json!({"type": "object", "required": ["image"], "properties": {"image": {"type": "string", "contentMediaType": "application/octet-stream"}}});
    let body = json!({"required": true, "content": {
        "image/*": {}, "application/octet-stream": {}, "multipart/form-data": {"schema": form},
    }});
    json!({"summary": summary, "parameters": parameters, "requestBody": body, "responses": responses})
}

fn look_up(summary: &str, kind: &str, open: bool) -> Value {
    let mut responses = errors(&COMMON);
    responses.append(&mut errors(&[("500", "A defect"), ("503", "Not yet, or busy"), ("504", "Not done in time")]));
    responses.insert("200".into(), json!({"description": summary, "content": {kind: {}}}));
    let mut operation = json!({"summary": summary, "responses": responses});
    if open {
        operation["security"] = json!([{}]);
    }
    operation
}
