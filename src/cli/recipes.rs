//! What `learn`, `inspect` and `evaluate` share: from arguments and files to a recipe, from a recipe to an inspector.

use super::batch;
use crate::error::{Error, Result};
use crate::input::{self, Limits, Source};
use crate::models::{self, Model, sha256_hex};
use crate::recipe::{self, Folder, Golden, Method, ModelRef, Recipe, Region};
use crate::tasks::inspect::{AlignChoice, Inspector, Learner, Printed, RegionSpec, Verdict};
use crate::tasks::ocr::Reader;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// `name=x,y,w,h` or `name=x,y,w,h:method`.
#[derive(Debug, Clone, PartialEq)]
pub struct RegionArg {
    name: String,
    rect: [u32; 4],
    method: Option<Method>,
}

#[cfg(feature = "serve")]
impl RegionArg {
    /// A region, as the command line would name it.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn new(name: &str, rect: [u32; 4], method: Method) -> Result<Self, String> {
        let [x, y, w, h] = rect;
        format!("{name}={x},{y},{w},{h}:{}", method.name()).parse()
    }
}

impl FromStr for RegionArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("region {text:?}: expected name=x,y,width,height, all whole numbers of pixels");
        let (name, rest) = text.split_once('=').ok_or_else(wrong)?;
        if !recipe::is_region_name(name) {
            return Err(format!("region name {name:?}: expected letters, digits, '-', '_' and '.'"));
        }
        let (numbers, method) = match rest.split_once(':') {
            Some((numbers, method)) => (numbers, Some(method.parse()?)),
            None => (rest, None),
        };
        let numbers: Vec<u32> =
            numbers.split(',').map(|n| n.trim().parse().map_err(|_| wrong())).collect::<Result<_, _>>()?;
        Ok(RegionArg { name: name.into(), rect: numbers.try_into().map_err(|_| wrong())?, method })
    }
}

/// `region=value`.
#[derive(Debug, Clone, PartialEq)]
pub struct ThresholdArg {
    region: String,
    value: f32,
}

impl FromStr for ThresholdArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split_once('=')
            .and_then(|(region, value)| Some(ThresholdArg { region: region.into(), value: value.parse().ok()? }))
            .filter(|t| t.value.is_finite())
            .ok_or_else(|| format!("threshold {text:?}: expected region=number"))
    }
}

/// `region=text` of `--pattern`, `--expect` and `--check`.
#[derive(Debug, Clone, PartialEq)]
pub struct TextArg {
    region: String,
    text: String,
}

#[cfg(feature = "serve")]
impl TextArg {
    /// What `region` must show.
    pub fn new(region: &str, text: &str) -> Self {
        TextArg { region: region.into(), text: text.into() }
    }
}

impl FromStr for TextArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (region, value) = text
            .split_once('=')
            .filter(|(r, v)| !r.is_empty() && !v.is_empty())
            .ok_or_else(|| format!("{text:?}: expected region=text, for example lot=LOT-[0-9]{{6}}"))?;
        Ok(TextArg { region: region.into(), text: value.into() })
    }
}

/// What regions of the method `text` must show.
#[derive(Debug, Clone, Default)]
pub struct Texts {
    /// Regular expressions.
    pub patterns: Vec<TextArg>,
    /// Texts.
    pub expected: Vec<TextArg>,
    /// Check digits.
    pub checks: Vec<TextArg>,
}

impl Texts {
    /// A region that is read, with what the arguments say of it.
    fn region(&self, spec: &RegionSpec) -> Region {
        let of = |list: &[TextArg]| list.iter().find(|t| t.region == spec.name).map(|t| t.text.clone());
        Region {
            name: spec.name.clone(),
            rect: spec.rect,
            method: Method::Text,
            threshold: TEXT_THRESHOLD,
            memory: String::new(),
            sha256: String::new(),
            pattern: of(&self.patterns),
            expected: of(&self.expected),
            check: of(&self.checks),
        }
    }

    /// Whether each names a region that is read, and each region that is read is named.
    fn check(&self, specs: &[RegionSpec], reader: Option<&Reader>) -> Result<()> {
        let read = |name: &str| specs.iter().any(|s| s.method == Method::Text && s.name == name);
        let all = self.patterns.iter().chain(&self.expected).chain(&self.checks);
        if let Some(arg) = all.into_iter().find(|t| !read(&t.region)) {
            return Err(Error::Usage(format!("{0}={1}: there is no region {0}=x,y,w,h:text", arg.region, arg.text)));
        }
        for spec in specs.iter().filter(|s| s.method == Method::Text) {
            let region = self.region(spec);
            if region.pattern.is_some() == region.expected.is_some() {
                let name = &spec.name;
                let message = format!(
                    "region {name:?} is read: say what it must show, --pattern {name}=REGEX or --expect {name}=TEXT"
                );
                return Err(Error::Usage(message));
            }
            if let Some(reader) = reader {
                Printed::new(&region, reader).map_err(|e| Error::Usage(e.one_line()))?;
            }
        }
        Ok(())
    }
}

/// Of regions that are read: a text is believed from half on.
const TEXT_THRESHOLD: f32 = 0.5;

/// What a recipe is to be learned like.
#[derive(Debug, Clone)]
pub struct Request {
    /// The golden image; the first good one if absent.
    pub golden: Option<String>,
    /// Regions; the whole picture if empty.
    pub regions: Vec<RegionArg>,
    /// Method of the regions that name none.
    pub method: Method,
    /// What regions that are read must show.
    pub texts: Texts,
    /// Whether parts are aligned.
    pub align: AlignChoice,
    /// The model's name; the default one if absent.
    pub model: Option<String>,
    /// Of all random choices.
    pub seed: u64,
}

/// Learns a recipe from `sources`. A picture that cannot be used is told to `complain` and left out. Returns the folder,
/// not yet written and without a path, and the held-out scores of each region.
pub fn learn(
    sources: &[Source],
    options: batch::Options,
    request: Request,
    mut complain: impl FnMut(&Source, &Error),
) -> Result<(Folder, Vec<Vec<f32>>)> {
    // The golden image first: regions are checked against it before anything is learned.
    let first = || sources.iter().find(|s| s.load(&options.limits).is_ok()).cloned();
    let golden_source = match request.golden {
        Some(name) if name == "-" => Source::Stdin,
        Some(name) => Source::File(PathBuf::from(name)),
        None => first()
            .ok_or_else(|| Error::Input("none of the pictures can be read: no good image to learn from".into()))?,
    };
    let golden_bytes = golden_source.read()?;
    let golden = input::decode(&golden_source.name(), &golden_bytes, &options.limits)?;
    let whole = [RegionArg { name: "all".into(), rect: [0, 0, golden.width(), golden.height()], method: None }];
    let wanted = if request.regions.is_empty() { &whole[..] } else { &request.regions };
    let specs: Vec<RegionSpec> = wanted
        .iter()
        .map(|r| RegionSpec { name: r.name.clone(), rect: r.rect, method: r.method.unwrap_or(request.method) })
        .collect();
    for (at, spec) in specs.iter().enumerate() {
        recipe::check_rect(&spec.name, spec.rect, golden.width(), golden.height()).map_err(Error::Usage)?;
        if specs[..at].iter().any(|s| s.name == spec.name) {
            return Err(Error::Usage(format!("two regions are named {:?}", spec.name)));
        }
    }
    let reader = specs.iter().any(|s| s.method == Method::Text).then(Reader::new).transpose()?;
    request.texts.check(&specs, reader.as_ref())?;
    let compared: Vec<RegionSpec> = specs.iter().filter(|s| s.method != Method::Text).cloned().collect();
    let model = match (specs.iter().any(|s| s.method.needs_model()), &request.model) {
        (false, _) => None,
        (true, Some(name)) => Some(models::resolve(name)?),
        (true, None) => Some(models::default_for("features")?.clone()),
    };
    let learner = Learner::new(&golden, compared, model.as_ref(), request.align, request.seed)?;
    let (mut goods, mut origins) = (Vec::new(), Vec::new());
    batch::run(
        sources,
        options,
        |_, image| learner.look(&image),
        |at, result| {
            match result {
                Ok(good) => {
                    goods.push(good);
                    origins.push(at);
                }
                Err(error) => complain(&sources[at], &error),
            }
            Ok(())
        },
    )?;
    let bar = batch::progress(1, options.quiet, "learning");
    let learned = learner.finish(&goods, &|done, of| {
        bar.set_length(of as u64);
        bar.set_position(done as u64);
    });
    bar.finish_and_clear();
    let learned = learned?;
    for &(good, correlation) in &learned.left_out {
        let source = &sources[origins[good]];
        let message = format!("does not show the golden part (correlation {correlation:.2}): left out");
        complain(source, &Error::Image { name: source.name(), message, source: None });
    }
    let ending = match image::guess_format(&golden_bytes) {
        Ok(format) => format.extensions_str().first().copied().unwrap_or("img"),
        Err(_) => "img",
    };
    let memory_file = |spec: &RegionSpec| format!("{}.safetensors", spec.name);
    let (mut regions, mut held_out, mut memories) = (Vec::new(), Vec::new(), Vec::new());
    let mut compared = learned.regions.into_iter();
    for spec in &specs {
        let mut region = request.texts.region(spec);
        let learned = if spec.method == Method::Text { None } else { compared.next() };
        if let Some(learned) = &learned {
            region.method = spec.method;
            region.threshold = learned.threshold;
            region.memory = memory_file(spec);
            region.sha256 = sha256_hex(&learned.memory);
        }
        regions.push(region);
        let (scores, memory) = learned.map_or_else(Default::default, |l| (l.held_out, l.memory));
        held_out.push(scores);
        memories.push(memory);
    }
    let recipe = Recipe {
        version: recipe::VERSION,
        made_with: format!("ocellus {}", env!("CARGO_PKG_VERSION")),
        good_images: goods.len() - learned.left_out.len(),
        golden: Golden {
            image: format!("golden.{ending}"),
            sha256: sha256_hex(&golden_bytes),
            width: golden.width(),
            height: golden.height(),
        },
        align: learned.align.clone(),
        model: model.map(|m| ModelRef { id: model_name(request.model, &m), sha256: m.info.sha256 }),
        regions,
    };
    Ok((Folder { path: PathBuf::new(), recipe, golden: golden_bytes, memories }, held_out))
}

/// What a recipe calls its model: the id of an embedded one, the full path of a file, so that the recipe can be used from
/// any folder.
fn model_name(asked: Option<String>, model: &Model) -> String {
    match asked {
        Some(name) if name != model.info.id => {
            std::fs::canonicalize(&name).map_or(name, |path| path.display().to_string())
        }
        _ => model.info.id.clone(),
    }
}

/// The pipeline of a recipe folder, with the model that it was made with.
pub fn inspector(folder: &Folder, limits: Limits) -> Result<Inspector> {
    let name = folder.path.join(&folder.recipe.golden.image).display().to_string();
    let golden = input::decode(&name, &folder.golden, &limits)?;
    let model = folder.recipe.model.as_ref().map(|m| recipe_model(folder, m)).transpose()?;
    Inspector::new(&folder.recipe, &golden, &folder.memories, model.as_ref())
}

/// A recipe that is ready to inspect with.
#[derive(Debug)]
pub struct Loaded {
    /// Its name: that of its folder.
    pub name: String,
    /// SHA-256 of its `recipe.toml`, which names the hashes of its memories.
    pub sha256: String,
    /// What it says.
    pub recipe: Recipe,
    /// What inspects by it.
    pub inspector: Inspector,
}

impl Loaded {
    /// The recipe in `folder`.
    pub fn read(folder: &Path, limits: Limits) -> Result<Self> {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = hash(folder)?;
        let folder = Folder::read(folder)?;
        let inspector = inspector(&folder, limits)?;
        Ok(Loaded { name, sha256, recipe: folder.recipe, inspector })
    }
}

/// What tells one version of a recipe from another.
pub fn hash(folder: &Path) -> Result<String> {
    let file = folder.join(recipe::FILE);
    Ok(sha256_hex(&std::fs::read(&file).map_err(|e| Error::io(&file, "read", e))?))
}

fn recipe_model(folder: &Folder, wanted: &ModelRef) -> Result<Model> {
    let model = models::resolve(&wanted.id)?;
    if model.info.sha256 != wanted.sha256 {
        return Err(Error::recipe(
            folder.path.join(recipe::FILE),
            format!(
                "it was learned with {} of sha256 {}, this program carries {}; vectors of different models cannot be compared, learn the recipe again",
                wanted.id, wanted.sha256, model.info.sha256
            ),
        ));
    }
    Ok(model)
}

/// Puts the thresholds of the command line in place of the recipe's.
pub fn override_thresholds(folder: &mut Folder, overrides: &[ThresholdArg]) -> Result<()> {
    for wanted in overrides {
        let regions = &mut folder.recipe.regions;
        let Some(at) = regions.iter().position(|r| r.name == wanted.region) else {
            let known: Vec<&str> = regions.iter().map(|r| r.name.as_str()).collect();
            return Err(Error::Usage(format!("--threshold {}: the recipe's regions are {known:?}", wanted.region)));
        };
        regions[at].threshold = wanted.value;
    }
    Ok(())
}

/// How many of the good pictures `sources` a recipe calls bad, of how many, and whether some could not be used.
pub fn false_calls(folder: &Folder, sources: &[Source], options: batch::Options) -> Result<(usize, usize, bool)> {
    let inspector = inspector(folder, options.limits)?;
    let (mut calls, mut seen) = (0, 0);
    let failed = batch::run(
        sources,
        options,
        |_, photo| inspector.inspect(&photo),
        |at, result| {
            match result {
                Ok(inspection) => {
                    seen += 1;
                    calls += usize::from(inspection.verdict != Verdict::Pass);
                }
                Err(error) => batch::complain(&sources[at], &error),
            }
            Ok(())
        },
    )?;
    Ok((calls, seen, failed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_parsed() {
        let region: RegionArg = "label=1,2,30,40:cosine".parse().unwrap();
        assert_eq!(region, RegionArg { name: "label".into(), rect: [1, 2, 30, 40], method: Some(Method::Cosine) });
        for bad in ["label", "label=1,2,3", "label=1,2,3,x", "a/b=1,2,3,4", "l=1,2,3,4:foo", "=1,2,3,4", "l=1,2,3,4,5"]
        {
            assert!(bad.parse::<RegionArg>().is_err(), "{bad}");
        }
    }

    #[test]
    fn thresholds_are_parsed() {
        let threshold: ThresholdArg = "label=1.5".parse().unwrap();
        assert_eq!(threshold, ThresholdArg { region: "label".into(), value: 1.5 });
        for bad in ["label", "label=x", "label=inf", "label=NaN"] {
            assert!(bad.parse::<ThresholdArg>().is_err(), "{bad}");
        }
    }
}
