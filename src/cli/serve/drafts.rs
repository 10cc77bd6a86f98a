//! Recipes in the making: good pictures are gathered, regions drawn, learned and tried, and the recipe is published.

use super::Server;
use super::api::{Answer, Shared, look, refusal};
use super::members::{self, Who};
use super::parts::{LEARNING, picture_of, station};
use super::{query, recipes::is_name, upload};
use crate::cli::audit::entry;
use crate::cli::recipes::{self as learned, Loaded, RegionArg, Request as Wanted, TextArg, Texts};
use crate::cli::{output, versions};
use crate::error::{Error, Result};
use crate::input::Source;
use crate::recipe::{FILE, Method};
use crate::report::{draw, json, overlay};
use crate::tasks::inspect::AlignChoice;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard, TryLockError};
use std::time::Instant;

/// Drafts at a time.
const MOST_DRAFTS: usize = 50;

/// Of a draft whose pictures changed, too.
const UNLEARNED: &str = "the draft has not been learned yet";

type Name = Result<Path<String>, PathRejection>;
type NameAndNumber = Result<Path<(String, usize)>, PathRejection>;

impl Server {
    /// The folder of drafts; an answer where nothing is kept.
    fn drafts(&self) -> Result<PathBuf, Answer> {
        station(self)?;
        Ok(self.state.clone().unwrap_or_default().join("drafts"))
    }

    fn draft(&self, name: &str) -> Result<PathBuf, Answer> {
        if !is_name(name) {
            let message = format!("{name:?}: expected a name of letters, digits, '-', '_' and '.'");
            return Err(Answer::refusal(StatusCode::BAD_REQUEST, &message));
        }
        Ok(self.drafts()?.join(name))
    }

    /// One thing at a time happens to drafts. Who comes meanwhile is told so, for learning takes minutes and threads are few.
    fn drafting(&self) -> Result<MutexGuard<'_, ()>> {
        let busy = |_| Error::Input("a recipe is being learned or changed; try again when that is done".into());
        self.drafting.try_lock().or_else(|e| match e {
            TryLockError::Poisoned(poisoned) => Ok(poisoned.into_inner()),
            TryLockError::WouldBlock => Err(busy(())),
        })
    }
}

fn named(server: &Server, name: Name) -> Result<(String, PathBuf), Answer> {
    let Path(name) = name.map_err(|_| Answer::refusal(StatusCode::BAD_REQUEST, "a draft's name is text"))?;
    let folder = server.draft(&name)?;
    Ok((name, folder))
}

/// Like [`named`], for a draft that is there.
fn existing(server: &Server, name: Name) -> Result<(String, PathBuf), Answer> {
    let (name, folder) = named(server, name)?;
    let gone = || Answer::refusal(StatusCode::NOT_FOUND, &format!("there is no draft {name:?}"));
    folder.is_dir().then_some(()).ok_or_else(gone)?;
    Ok((name, folder))
}

/// Does `work` on the pool, and answers with its record.
async fn answer<W>(server: &Arc<Server>, work: W) -> Result<Response, Response>
where
    W: FnOnce(&Server) -> Result<Value> + Send + 'static,
{
    let shared = server.clone();
    match server.pool.run(Instant::now() + LEARNING, move || work(&shared)).await {
        Ok(value) => Ok(Answer::record(value.to_string()).into_response()),
        Err(why) => Err(why.response(server)),
    }
}

fn or_refusal(result: Result<Response, Response>) -> Response {
    result.unwrap_or_else(|refused| refused)
}

/// `GET /v1/drafts`
pub async fn list(State(server): Shared) -> Response {
    let listed = async {
        let folder = server.drafts()?;
        answer(&server, move |_| {
            let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
            let mut drafts: Vec<PathBuf> = entries.map(|e| e.path()).filter(|p| p.is_dir()).collect();
            drafts.sort();
            let draft = |path: &PathBuf| {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                json!({"name": name, "goods": versions::goods(path).len(), "learned": path.join(FILE).is_file()})
            };
            Ok(drafts.iter().map(draft).collect())
        })
        .await
    };
    or_refusal(listed.await)
}

/// `POST /v1/drafts/{name}/goods`
pub async fn add_good(State(server): Shared, name: Name, request: Request) -> Response {
    let folder = match named(&server, name) {
        Ok((_, folder)) => folder,
        Err(refused) => {
            upload::drain(request).await;
            return refused.into_response();
        }
    };
    look(server, request, "draft", query::EMBED, move |server, sent| {
        let photo = sent.decode(server)?;
        let _one = server.drafting()?;
        let goods = versions::goods(&folder);
        if goods.len() >= versions::MOST_GOODS {
            return Err(Error::Input(format!("the draft has {} pictures, which is the most", versions::MOST_GOODS)));
        }
        let drafts = folder.parent().map_or(0, |d| std::fs::read_dir(d).into_iter().flatten().count());
        if !folder.is_dir() && drafts >= MOST_DRAFTS {
            return Err(Error::Input(format!(
                "there are {MOST_DRAFTS} drafts, which is the most; publish or delete some"
            )));
        }
        if let Some(first) = goods.first() {
            let first = Source::File(first.clone()).load(&server.limits)?;
            if (first.width(), first.height()) != (photo.width(), photo.height()) {
                return Err(Error::Input(format!(
                    "the picture is {}x{}, the first one {}x{}: all are expected to be of one size",
                    photo.width(),
                    photo.height(),
                    first.width(),
                    first.height()
                )));
            }
        }
        if let Some(station) = &server.station {
            station.check_room(sent.bytes.len() as u64)?;
        }
        let file = versions::next_good(&folder, &sent.bytes);
        let below = folder.join(versions::GOODS);
        std::fs::create_dir_all(&below).map_err(|e| Error::io(&below, "create", e))?;
        output::write_durable(&file, &sent.bytes)?;
        forget(&folder)?;
        let record = json!({
            "schema": json::SCHEMA, "type": "draft", "status": "ok",
            "goods": goods.len() + 1, "width": photo.width(), "height": photo.height(),
        });
        Ok(Answer::record(record.to_string()))
    })
    .await
}

/// What was learned from other pictures holds no more.
fn forget(folder: &std::path::Path) -> Result<()> {
    let file = folder.join(FILE);
    gone(std::fs::remove_file(&file)).map_err(|e| Error::io(&file, "remove", e))
}

/// What is gone already need not be removed.
fn gone(removed: std::io::Result<()>) -> std::io::Result<()> {
    removed.or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

/// The good picture of a number, from 1 on.
fn good(server: &Server, at: NameAndNumber) -> Result<PathBuf, Answer> {
    let none = || Answer::refusal(StatusCode::NOT_FOUND, "there is no such picture");
    let Path((name, number)) = at.map_err(|_| none())?;
    let folder = server.draft(&name)?;
    number.checked_sub(1).and_then(|at| versions::goods(&folder).into_iter().nth(at)).ok_or_else(none)
}

/// `GET /v1/drafts/{name}/goods/{n}`
pub async fn get_good(State(server): Shared, at: NameAndNumber) -> Response {
    let read = async {
        let file = good(&server, at)?;
        let read = tokio::task::spawn_blocking(move || std::fs::read(file)).await;
        let gone = || Answer::refusal(StatusCode::NOT_FOUND, "there is no such picture");
        read.ok().and_then(Result::ok).ok_or_else(gone)
    };
    match read.await {
        Ok(bytes) => {
            let mut response = picture_of(bytes);
            // Another picture gets the number of one that was deleted.
            response.headers_mut().remove(axum::http::header::CACHE_CONTROL);
            response
        }
        Err(refused) => refused.into_response(),
    }
}

/// `DELETE /v1/drafts/{name}/goods/{n}`
pub async fn delete_good(State(server): Shared, at: NameAndNumber) -> Response {
    let deleted = async {
        let file = good(&server, at)?;
        answer(&server, move |server| {
            let _one = server.drafting()?;
            gone(std::fs::remove_file(&file)).map_err(|e| Error::io(&file, "remove", e))?;
            let folder = file.parent().and_then(std::path::Path::parent).unwrap_or(&file);
            forget(folder)?;
            Ok(json!({"goods": versions::goods(folder).len()}))
        })
        .await
    };
    or_refusal(deleted.await)
}

/// What is to be learned.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plan {
    regions: Vec<Place>,
    #[serde(default)]
    align: Option<String>,
}

/// One region of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Place {
    name: String,
    rect: [u32; 4],
    method: Method,
    #[serde(default)]
    pattern: Option<String>,
    #[serde(default)]
    expected: Option<String>,
    #[serde(default)]
    check: Option<String>,
}

impl Plan {
    fn request(&self) -> Result<Wanted, String> {
        let mut texts = Texts::default();
        let mut regions = Vec::new();
        for place in &self.regions {
            regions.push(RegionArg::new(&place.name, place.rect, place.method)?);
            let text = |value: &Option<String>| value.as_ref().map(|v| TextArg::new(&place.name, v));
            texts.patterns.extend(text(&place.pattern));
            texts.expected.extend(text(&place.expected));
            texts.checks.extend(text(&place.check));
        }
        let align: AlignChoice = self.align.as_deref().unwrap_or("auto").parse()?;
        Ok(Wanted { golden: None, regions, method: Method::Patch, texts, align, model: None, seed: 0 })
    }
}

/// `POST /v1/drafts/{name}/learn`
pub async fn learn(State(server): Shared, name: Name, request: Request) -> Response {
    let done = async {
        let plan: Plan = members::read(request).await?;
        let (_, folder) = existing(&server, name)?;
        let wanted = plan.request().map_err(|why| refusal(StatusCode::BAD_REQUEST, &why))?;
        answer(&server, move |server| {
            let _one = server.drafting()?;
            let goods = versions::goods(&folder);
            let golden = goods.first().map(|g| g.display().to_string());
            let sources: Vec<Source> = goods.into_iter().map(Source::File).collect();
            let mut left_out = Vec::new();
            let (made, held_out) =
                learned::learn(&sources, server.options, Wanted { golden, ..wanted }, |source, error| {
                    let at = sources.iter().position(|s| s.name() == source.name()).unwrap_or(0) + 1;
                    left_out.push(json!({"good": at, "error": error.one_line()}));
                })?;
            versions::add_files(&made, &folder)?;
            let region = |(r, scores): (&crate::recipe::Region, &Vec<f32>)| json!({"name": r.name, "threshold": r.threshold, "held_out": scores});
            let regions: Vec<Value> = made.recipe.regions.iter().zip(&held_out).map(region).collect();
            Ok(json!({"regions": regions, "good_images": made.recipe.good_images, "left_out": left_out}))
        })
        .await
    };
    or_refusal(done.await)
}

/// `POST /v1/drafts/{name}/try`
pub async fn try_out(State(server): Shared, name: Name, request: Request) -> Response {
    let folder = match existing(&server, name) {
        Ok((_, folder)) => folder,
        Err(refused) => {
            upload::drain(request).await;
            return refused.into_response();
        }
    };
    look(server, request, "inspect", query::INSPECT, move |server, sent| {
        if !folder.join(FILE).is_file() {
            return Ok(Answer::refusal(StatusCode::CONFLICT, UNLEARNED));
        }
        let recipe = Loaded::read(&folder, server.limits)?;
        let photo = sent.decode(server)?;
        let started = Instant::now();
        let inspection = recipe.inspector.inspect(&photo)?;
        let ms = started.elapsed().as_secs_f64() * 1000.0;
        let answer = match sent.query.picture {
            Some(_) => Answer::picture(draw::png(&overlay::inspection(&photo, &inspection)?)?),
            None => Answer::record(json::inspect(&sent.name, Ok((&inspection, ms)))?),
        };
        Ok(answer.judged(json::verdict(inspection.verdict)))
    })
    .await
}

/// `POST /v1/drafts/{name}/publish`
pub async fn publish(State(server): Shared, name: Name, request: Request) -> Response {
    let done = async {
        let who: Who = members::read(request).await?;
        who.check()?;
        let (name, folder) = existing(&server, name)?;
        if !folder.join(FILE).is_file() {
            return Err(refusal(StatusCode::CONFLICT, UNLEARNED));
        }
        let taken =
            || refusal(StatusCode::CONFLICT, &format!("there is a recipe {name:?} already; choose another name"));
        let (shared, recipe) = (server.clone(), name.clone());
        let published = server.pool.run(Instant::now() + LEARNING, move || {
            let _one = shared.drafting()?;
            let Some(sha256) = shared.recipes.publish(&recipe, &folder)? else { return Ok(None) };
            let who = (who.operator.trim(), who.reason.trim());
            shared.put_down(entry::version("publish", &recipe, (&sha256, None), who)).map(Some)
        });
        match published.await {
            Ok(Some(record)) => Ok(Answer::record(Value::Object(record).to_string()).into_response()),
            Ok(None) => Err(taken()),
            Err(why) => Err(why.response(&server)),
        }
    };
    or_refusal(done.await)
}

/// `DELETE /v1/drafts/{name}`
pub async fn delete(State(server): Shared, name: Name) -> Response {
    let done = async {
        let (name, folder) = existing(&server, name)?;
        answer(&server, move |server| {
            let _one = server.drafting()?;
            gone(std::fs::remove_dir_all(&folder)).map_err(|e| Error::io(&folder, "remove", e))?;
            Ok(json!({"deleted": name}))
        })
        .await
    };
    or_refusal(done.await)
}
