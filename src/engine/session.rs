//! One network, loaded once and shared by all threads.

use super::graph;
use crate::error::{Cause, Error, Result};
use crate::models::Model;
use crate::tensor::Tensor;
use std::collections::HashMap;
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
/// A plan is compiled for an input shape when it is first seen (tens of milliseconds) and kept. The f32 weights are held
/// once; each plan holds them a second time in the packed order of its kernels.
pub struct Session {
    name: String,
    graph: InferenceModel,
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
        write!(f, "Session({})", self.name)
    }
}

impl Session {
    /// Loads `model` to compute the values named `outputs`, which may stand anywhere in the graph: what lies behind the
    /// last of them is never run.
    pub fn load(model: &Model, outputs: &[&str]) -> Result<Self> {
        let name = model.info.id.clone();
        let onnx = onnx();
        let mut proto = onnx
            .proto_model_for_read(&mut &model.bytes[..])
            .map_err(|e| failed(&name, "this is not an ONNX file, or it is damaged", e))?;
        let pb = proto.graph.as_mut().ok_or_else(|| Error::model(&name, "the ONNX file contains no graph"))?;
        let edit = |r: Result<(), String>| r.map_err(|message| Error::model(&name, message));
        if pb.initializer.iter().any(|t| !t.external_data.is_empty()) {
            return Err(Error::model(&name, "its weights lie in a second file; export it into one"));
        }
        edit(graph::widen_halves(pb))?;
        edit(graph::dequantize_weights(pb))?;
        edit(graph::select_outputs(pb, outputs))?;
        let graph = onnx.parse(&proto, None).map_err(|e| failed(&name, "the graph cannot be read", e))?.model;
        Ok(Session { name, graph, plans: Mutex::new(Vec::new()), max_plans: MAX_PLANS, any_size: OnceLock::new() })
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
                let fact = plan.model().output_fact(i).map_err(|e| failed(&self.name, "an output has no shape", e))?;
                Ok(fact.shape.iter().map(side).collect())
            })
            .collect()
    }

    /// Runs the network on `input` (NCHW) and returns the values named at [`Session::load`], in that order.
    pub fn run(&self, input: &Tensor) -> Result<Vec<Tensor>> {
        let plan = self.plan(input.shape())?;
        let value = value_of(input).map_err(|e| failed(&self.name, "the input cannot be used", e))?;
        let outputs = plan
            .run(tvec!(value))
            .map_err(|e| failed(&self.name, &format!("it failed on an input of {:?}", input.shape()), e))?;
        outputs
            .into_iter()
            .map(|value| {
                let view = value
                    .to_plain_array_view::<f32>()
                    .map_err(|e| failed(&self.name, "an output is not of type f32", e))?;
                Tensor::new(view.shape().to_vec(), view.iter().copied().collect())
            })
            .collect()
    }

    /// Runs the network and drops what it computes, of whatever type.
    pub fn compute(&self, input: &Tensor) -> Result<()> {
        let plan = self.plan(input.shape())?;
        let failed = |e| failed(&self.name, &format!("it failed on an input of {:?}", input.shape()), e);
        plan.run(tvec!(value_of(input).map_err(failed)?)).map(|_| ()).map_err(failed)
    }

    /// The mean time that each kind of operator takes in `runs` runs, the longest first.
    pub fn profile(&self, input: &Tensor, runs: usize) -> Result<Vec<OperatorTime>> {
        let plan = self.plan(input.shape())?;
        let failed = |e| failed(&self.name, &format!("it failed on an input of {:?}", input.shape()), e);
        let mut times: HashMap<String, OperatorTime> = HashMap::new();
        for _ in 0..runs {
            let mut state = plan.spawn().map_err(failed)?;
            let input = tvec!(value_of(input).map_err(failed)?);
            let done = state.run_plan_with_eval(input, |context, state, node, inputs| {
                let start = Instant::now();
                let result = plan::eval(context, state, node, inputs);
                let name = node.op().name().into_owned();
                let entry = times.entry(name.clone()).or_insert(OperatorTime { name, count: 0, time: Duration::ZERO });
                entry.count += 1;
                entry.time += start.elapsed();
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
        self.graph
            .clone()
            .with_input_fact(0, f32::fact(shape).into())
            .and_then(|m| m.into_optimized())
            .and_then(|m| m.into_runnable())
            .map_err(|e| failed(&self.name, &format!("it cannot be prepared for an input of {shape:?}"), e))
    }

    /// A plan for another size than the first, from the graph for all sizes. `None` if tract cannot do that for this graph
    /// or this size; then a plan from the beginning has to do, and says what is wrong if that fails too.
    fn compile_further(&self, shape: &[usize]) -> Option<Arc<Plan>> {
        let any = self.any_size.get_or_init(|| AnySize::new(&self.graph).ok().flatten()).as_ref()?;
        let &[1, 3, height, width] = shape else { return None };
        let mut values = HashMap::new();
        for (symbol, side) in any.symbols.iter().zip([height, width]) {
            if let Some(symbol) = symbol {
                if side % UNIT != 0 {
                    return None;
                }
                values.insert(symbol.clone(), TDim::from(side / UNIT));
            }
        }
        let model = any.model.set_symbols(&values).and_then(|m| m.into_decluttered()).ok()?;
        let fits = model.input_fact(0).is_ok_and(|f| f.shape.as_concrete() == Some(shape));
        if !fits {
            return None;
        }
        model.into_optimized().and_then(|m| m.into_runnable()).ok()
    }
}

impl AnySize {
    fn new(graph: &InferenceModel) -> TractResult<Option<Self>> {
        let graph = graph.clone();
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
        let model = graph.with_input_fact(0, f32::fact(&shape).into())?.into_typed()?.into_decluttered()?;
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
