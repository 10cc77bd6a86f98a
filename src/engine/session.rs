//! One network, loaded once and shared by all threads.

use super::regions::{self, RegionOp};
use super::{fake_quantize, graph, simplify, stored_weights};
use crate::error::{Cause, Error, Result};
use crate::kernels::isa::ISA_VARIABLE;
use crate::kernels::memory;
use crate::models::Model;
use crate::tensor::Tensor;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tract_onnx::prelude::*;
use tract_onnx::tract_core::plan;
use tract_onnx::tract_hir::infer::{Factoid, InferenceModel};
use tract_onnx::tract_hir::internal::DimLike;

type Plan = TypedRunnableModel;

/// Plans for this many input shapes are kept, if the session is not told otherwise; the one used longest ago goes first.
const MAX_PLANS: usize = 8;

/// A network ready to run: `Send + Sync`, so that several images can run side by side on one session.
///
/// A plan is compiled for an input shape when it is first seen (tens of milliseconds) and kept, with the weights in the packed
/// order of its kernels. From the second shape on, the weights are held as they are stored as well.
pub struct Session {
    model: Model,
    outputs: Vec<String>,
    /// The graph, until a plan has been made from it. Another one is read again: most sessions see one shape only.
    graph: Mutex<Option<InferenceModel>>,
    plans: Mutex<Vec<(Vec<usize>, Arc<Plan>)>>,
    max_plans: usize,
    any_size: OnceLock<Option<AnySize>>,
}

/// What the operators of one kind take in a run.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorTime {
    /// The kind, as tract names it.
    pub name: String,
    /// How many there are.
    pub count: usize,
    /// All of them together.
    pub time: Duration,
}

/// Runs that are under way in this process: they share the threads.
static RUNNING: AtomicUsize = AtomicUsize::new(0);

/// A run that is under way.
struct Running;

impl Running {
    /// Begins one, and how many threads it may use: all if it is alone, its share of them otherwise.
    fn begin() -> (Self, usize) {
        // Only a number to go by: nothing else is ordered by it.
        let others = RUNNING.fetch_add(1, Ordering::Relaxed);
        (Running, (rayon::current_num_threads() / (others + 1)).max(1))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A graph simplified once for all widths and heights, which are symbols in it: a plan for a further size then costs a
/// quarter of one from the beginning.
struct AnySize {
    model: TypedModel,
    /// Of the height and the width, in units of [`UNIT`] pixels; none for a side that the graph fixes.
    symbols: [Option<Symbol>; 2],
}

/// Open sides are multiples of this; networks halve their maps up to five times.
const UNIT: usize = 32;

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Session({})", self.name())
    }
}

impl Session {
    /// Loads `model` to compute the values named `outputs`, which may stand anywhere in the graph: what lies behind the
    /// last of them is never run.
    pub fn load(model: &Model, outputs: &[&str]) -> Result<Self> {
        let graph = Mutex::new(Some(read(model, outputs)?));
        let outputs = outputs.iter().map(|name| name.to_string()).collect();
        let (plans, any_size) = (Mutex::new(Vec::new()), OnceLock::new());
        Ok(Session { model: model.clone(), outputs, graph, plans, max_plans: MAX_PLANS, any_size })
    }

    fn name(&self) -> &str {
        &self.model.info.id
    }

    /// The graph that was read at first, or the same again.
    fn graph(&self) -> Result<InferenceModel> {
        let first = self.graph.lock().unwrap_or_else(PoisonError::into_inner).take();
        let names = || self.outputs.iter().map(String::as_str).collect::<Vec<_>>();
        first.map_or_else(|| read(&self.model, &names()), Ok)
    }

    /// Keeps the plans for no more than `count` (at least 1) input shapes: each holds the weights once more.
    pub fn with_plans(self, count: usize) -> Self {
        Session { max_plans: count.max(1), ..self }
    }

    /// Compiles the plan for `shape` now instead of at the first picture.
    pub fn prepare(&self, shape: &[usize]) -> Result<()> {
        self.plan(shape).map(|_| ())
    }

    /// The shapes that the values named at [`Session::load`] have for an input of `shape`; compiles the plan for it. A side
    /// that depends on the picture is 0.
    pub fn output_shapes(&self, shape: &[usize]) -> Result<Vec<Vec<usize>>> {
        let plan = self.plan(shape)?;
        let side = |dim: &TDim| dim.to_usize().unwrap_or(0);
        (0..plan.model().output_outlets().map_or(0, |o| o.len()))
            .map(|i| {
                let fact = plan.model().output_fact(i).map_err(|e| failed(self.name(), "an output has no shape", e))?;
                Ok(fact.shape.iter().map(side).collect())
            })
            .collect()
    }

    /// Runs the network on `input` (NCHW) and returns the values named at [`Session::load`], in that order. Runs at the same
    /// time share rayon's threads: one alone uses all of them.
    pub fn run(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        let (_running, threads) = Running::begin();
        self.outputs(input, threads)?
            .into_iter()
            .map(|value| {
                let view = value
                    .to_plain_array_view::<f32>()
                    .map_err(|e| failed(self.name(), "an output is not of type f32", e))?;
                Tensor::new(view.shape().to_vec(), view.iter().copied().collect())
            })
            .collect()
    }

    /// Runs the network on so many threads and drops what it computes, of whatever type.
    pub fn compute(&self, input: &Tensor, threads: usize) -> Result<()> {
        self.outputs(input, threads).map(|_| ())
    }

    fn outputs(&self, input: &Tensor, threads: usize) -> Result<TVec<TValue>> {
        let plan = self.plan(input.shape())?;
        value_of(input)
            .and_then(|value| regions::with_threads(threads, || plan.run(tvec!(value))))
            .map_err(|e| failed(self.name(), &format!("it failed on an input of {:?}", input.shape()), e))
    }

    /// The mean time that each kind of operator takes in `runs` runs, the longest first.
    pub fn profile(&self, input: &Tensor, runs: usize) -> Result<Vec<OperatorTime>> {
        let plan = self.plan(input.shape())?;
        let failed = |e| failed(self.name(), &format!("it failed on an input of {:?}", input.shape()), e);
        let mut times: HashMap<String, OperatorTime> = HashMap::new();
        for _ in 0..runs {
            let mut state = plan.spawn().map_err(failed)?;
            let input = tvec!(value_of(input).map_err(failed)?);
            let done = state.run_plan_with_eval(input, |context, state, node, inputs| {
                let mut add = |name: &str, time: Duration| {
                    let none = || OperatorTime { name: name.to_string(), count: 0, time: Duration::ZERO };
                    let entry = times.entry(name.to_string()).or_insert_with(none);
                    entry.count += 1;
                    entry.time += time;
                };
                // A region tells of each of its steps.
                if let Some(region) = node.op_as::<RegionOp>() {
                    return region.run(&inputs, add);
                }
                let start = Instant::now();
                let result = plan::eval(context, state, node, inputs);
                add(&node.op().name(), start.elapsed());
                result
            });
            done.map_err(failed)?;
        }
        let runs = runs.max(1);
        let mean = |t: OperatorTime| OperatorTime { count: t.count / runs, time: t.time / runs as u32, ..t };
        let mut times: Vec<OperatorTime> = times.into_values().map(mean).collect();
        times.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| a.name.cmp(&b.name)));
        Ok(times)
    }

    fn plan(&self, shape: &[usize]) -> Result<Arc<Plan>> {
        // A thread that panicked here leaves a list that is whole: entries are added and removed in one step.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = plans.iter().position(|(s, _)| s == shape) {
            let entry = plans.remove(at);
            let plan = entry.1.clone();
            plans.push(entry);
            return Ok(plan);
        }
        // Compiled under the lock: threads that meet a new shape together wait for one plan instead of making several.
        let plan = match plans.is_empty() {
            true => self.compile(shape),
            false => self.compile_further(shape).map_or_else(|| self.compile(shape), Ok),
        }?;
        if plans.len() >= self.max_plans {
            plans.remove(0);
        }
        plans.push((shape.to_vec(), plan.clone()));
        Ok(plan)
    }

    fn compile(&self, shape: &[usize]) -> Result<Arc<Plan>> {
        let plan = self
            .graph()?
            .with_input_fact(0, f32::fact(shape).into())
            .and_then(|m| m.into_typed())
            .and_then(simplify::simplified)
            .and_then(finished)
            .map_err(|e| failed(self.name(), &format!("it cannot be prepared for an input of {shape:?}"), e));
        // Reading and simplifying a graph takes several times the memory that the plan does.
        memory::give_back();
        plan
    }

    /// A plan for another size than the first, from the graph for all sizes. `None` if tract cannot do that for this graph
    /// or this size; then a plan from the beginning has to do, and says what is wrong if that fails too.
    fn compile_further(&self, shape: &[usize]) -> Option<Arc<Plan>> {
        let &[1, 3, height, width] = shape else { return None };
        let any_size = || self.graph().ok().and_then(|graph| AnySize::new(graph).ok().flatten());
        let any = self.any_size.get_or_init(any_size).as_ref()?;
        let mut values = HashMap::new();
        for (symbol, side) in any.symbols.iter().zip([height, width]) {
            if let Some(symbol) = symbol {
                if side % UNIT != 0 {
                    return None;
                }
                values.insert(symbol.clone(), TDim::from(side / UNIT));
            }
        }
        let model = any.model.set_symbols(&values).and_then(simplify::simplified).ok()?;
        let fits = model.input_fact(0).is_ok_and(|f| f.shape.as_concrete() == Some(shape));
        if !fits {
            return None;
        }
        finished(model).ok()
    }
}

/// The graph of `model` that computes the values named `outputs`.
fn read(model: &Model, outputs: &[&str]) -> Result<InferenceModel> {
    let name = model.info.id.as_str();
    let mut onnx = onnx();
    stored_weights::register(&mut onnx.op_register);
    fake_quantize::register(&mut onnx.op_register);
    let (mut proto, mut graph) = graph::decode(name, &model.bytes)?;
    let pb = &mut graph;
    let edit = |r: Result<(), String>| r.map_err(|message| Error::model(name, message));
    if pb.initializer.iter().any(|t| !t.external_data.is_empty()) {
        return Err(Error::model(name, "its weights lie in a second file; export it into one"));
    }
    // Older files name stored tensors as inputs too.
    let stored: HashSet<&str> = pb.initializer.iter().map(|t| t.name.as_str()).collect();
    pb.input.retain(|input| !stored.contains(input.name.as_str()));
    edit(graph::widen_halves(pb))?;
    graph::turn_around(pb);
    edit(stored_weights::fold_dequantize(pb))?;
    edit(graph::select_outputs(pb, outputs))?;
    edit(fake_quantize::pair(pb))?;
    // Pairs may have been what read the rounding alone.
    edit(graph::select_outputs(pb, outputs))?;
    proto.graph = Some(graph);
    Ok(onnx.parse(&proto, None).map_err(|e| failed(name, "the graph cannot be read", e))?.model)
}

/// The plan for a simplified graph of fixed shapes: our regions, and tract's own operators for the rest.
fn finished(model: TypedModel) -> TractResult<Arc<Plan>> {
    let plain = |model| stored_weights::as_constants(model)?.into_optimized()?.into_runnable();
    // tract brings assembly for 32-bit ARM; we have nothing but portable code there, which runs if it is asked for.
    if cfg!(target_arch = "arm") && std::env::var_os(ISA_VARIABLE).is_none() {
        return plain(model);
    }
    regions::replace(&model).and_then(simplify::optimized).and_then(|m| m.into_runnable()).or_else(|error| {
        log::debug!("no regions: {error:#}");
        plain(model)
    })
}

impl AnySize {
    fn new(graph: InferenceModel) -> TractResult<Option<Self>> {
        let declared = graph.input_fact(0)?.shape.clone();
        let mut symbols = [None, None];
        let mut shape = tvec!(TDim::from(1), TDim::from(3));
        for (symbol, (axis, name)) in symbols.iter_mut().zip([(2, "rows"), (3, "columns")]) {
            let fixed = declared.dim(axis).and_then(|d| d.concretize()).and_then(|d| d.to_usize().ok());
            shape.push(match fixed {
                Some(side) => TDim::from(side),
                None => {
                    let new = graph.symbols.sym(name);
                    // Without it tract cannot tell that two ways to halve a side agree.
                    graph.symbols.add_assertion(format!("{name} >= 1"))?;
                    *symbol = Some(new.clone());
                    TDim::from(new) * UNIT
                }
            });
        }
        if symbols.iter().all(Option::is_none) {
            return Ok(None);
        }
        let model = graph.with_input_fact(0, f32::fact(&shape).into())?.into_typed().and_then(simplify::simplified)?;
        Ok(Some(AnySize { model, symbols }))
    }
}

fn value_of(input: &Tensor) -> TractResult<TValue> {
    Ok(tract_onnx::prelude::Tensor::from_shape(input.shape(), input.data())?.into())
}

fn failed(model: &str, message: &str, cause: TractError) -> Error {
    // A tract error shows its whole chain in the alternate form; one line of it is enough for a user.
    Error::Model {
        model: model.to_string(),
        message: message.to_string(),
        source: Some(Cause::from(format!("{cause:#}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::stored_weights::StoredWeights;
    use crate::models;
    use prost::Message;
    use tract_onnx::pb::ModelProto;

    /// What tract alone computes.
    fn plain(session: &Session, input: &Tensor) -> TractResult<Vec<Vec<f32>>> {
        let model = session.graph().unwrap().with_input_fact(0, f32::fact(input.shape()).into())?;
        let outputs = model.into_optimized()?.into_runnable()?.run(tvec!(value_of(input)?))?;
        outputs.iter().map(|o| Ok(o.to_plain_array_view::<f32>()?.iter().copied().collect())).collect()
    }

    /// `model` without what rounds its activations to 8 bits.
    fn in_floats(model: &Model) -> Model {
        let mut proto = ModelProto::decode(&model.bytes[..]).unwrap();
        let graph = proto.graph.as_mut().unwrap();
        let quantized: HashMap<String, String> = graph
            .node
            .iter()
            .filter(|node| node.op_type == "QuantizeLinear")
            .map(|node| (node.output[0].clone(), node.input[0].clone()))
            .collect();
        for node in graph.node.iter_mut().filter(|node| node.op_type == "DequantizeLinear") {
            if let Some(source) = quantized.get(&node.input[0]) {
                (node.op_type, node.input) = ("Identity".to_string(), vec![source.clone()]);
            }
        }
        Model { info: model.info.clone(), bytes: proto.encode_to_vec().into() }
    }

    fn random_input(shape: &[usize]) -> Tensor {
        let mut random = fastrand::Rng::with_seed(shape[2] as u64);
        let data = (0..shape.iter().product()).map(|_| random.f32() * 2.0 - 1.0).collect();
        Tensor::new(shape.to_vec(), data).unwrap()
    }

    /// Every embedded network gives what tract alone gives, at the size that it is used at and at odd ones, in a plan from
    /// the beginning and in one from the graph for all sizes, on one thread and on several.
    #[test]
    fn regions_compute_what_tract_does() {
        for model in models::embedded() {
            let info = &model.info;
            let outputs = crate::engine::describe(&info.id, &model.bytes).unwrap().outputs;
            let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            let session = Session::load(&in_floats(model), &names).unwrap();
            let [width, height] = info.input.size.map(|s| s as usize);
            for (rows, columns) in [(height, width), (96, 160), (height, width + 37), (64, 64)] {
                let shape = [1, 3, rows, columns];
                let input = random_input(&shape);
                // Maps of some sizes do not fit each other again after they were halved and doubled.
                let Ok(expected) = plain(&session, &input) else {
                    assert!(session.run(&input).is_err(), "{} at {shape:?}", info.id);
                    continue;
                };
                let found = session.run(&input).unwrap();
                let shapes = session.output_shapes(&shape).unwrap();
                assert_eq!(found.iter().map(|t| t.shape().to_vec()).collect::<Vec<_>>(), shapes, "{}", info.id);
                for (found, expected) in found.iter().zip(&expected) {
                    // tract's sigmoid is off by 5e-7 where it is near zero.
                    let size = expected.iter().fold(1e-2f32, |m, v| m.max(v.abs()));
                    let off = found.data().iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
                    assert!(off <= 1e-4 * size, "{} at {shape:?}: {off} of {size}", info.id);
                }
                same_on_three_threads(&session, &input, &found);
            }
        }
    }

    fn same_on_three_threads(session: &Session, input: &Tensor, found: &[Tensor]) {
        let threads = session.outputs(input, 3).unwrap();
        for (found, threaded) in found.iter().zip(&threads) {
            let threaded = threaded.to_plain_array_view::<f32>().unwrap();
            assert!(found.data().iter().eq(threaded.iter()), "{} on three threads", session.name());
        }
    }

    /// Of the embedded networks, those with activations of 8 bits do with them what tract does with values that are rounded
    /// alike. A last bit of a sum can make a step of a code, and that others: results are alike as a whole, most so of real
    /// pictures and least of noise, which is what they get here.
    #[test]
    fn codes_compute_what_rounded_values_do() {
        let mut with_codes = Vec::new();
        for model in models::embedded() {
            let info = &model.info;
            let outputs = crate::engine::describe(&info.id, &model.bytes).unwrap().outputs;
            let names: Vec<&str> = outputs.iter().map(|o| o.name.as_str()).collect();
            let session = Session::load(model, &names).unwrap();
            let [width, height] = info.input.size.map(|s| s as usize);
            let input = random_input(&[1, 3, height, width]);
            let plan = session.plan(input.shape()).unwrap();
            let regions: Vec<&RegionOp> = plan.model().nodes.iter().filter_map(|n| n.op_as::<RegionOp>()).collect();
            let of_codes: usize = regions.iter().map(|r| r.convolutions().of_codes).sum();
            let floats: usize = regions.iter().map(|r| r.convolutions()).map(|c| c.direct + c.winograd).sum();
            let steps = of_codes + floats;
            assert!(steps > 10, "{}: {steps} convolutions in regions", info.id);
            let lazy = plan.model().nodes.iter().filter(|n| n.op_is::<StoredWeights>()).count();
            assert_eq!(lazy, 0, "{}: weights that every run would expand", info.id);
            if of_codes == 0 {
                continue;
            }
            assert!(3 * of_codes > 2 * steps, "{}: {of_codes} of {steps} convolutions read codes", info.id);
            with_codes.push(info.id.as_str());
            let found = session.run(&input).unwrap();
            for (found, expected) in found.iter().zip(&plain(&session, &input).unwrap()) {
                let square = |values: &mut dyn Iterator<Item = f32>| values.map(|v| f64::from(v * v)).sum::<f64>();
                let off = square(&mut found.data().iter().zip(expected).map(|(a, b)| a - b));
                let share = (off / square(&mut expected.iter().copied())).sqrt();
                assert!(share < 0.1, "{}: off by {share}", info.id);
            }
            same_on_three_threads(&session, &input, &found);
        }
        with_codes.dedup();
        let expected =
            ["efficientnet-lite0", "efficientnet-lite0-imagenet", "mobilenetv2", "nanodet-g", "pp-ocrv6-rec"];
        assert_eq!(with_codes, expected);
    }
}
