//! Regions of a typed graph that run in blocks of channels ([`crate::kernels::nchwc`]) instead of node by node.
//!
//! tract loads, checks, shapes and simplifies the graph. Of the simplified graph, what consists of convolutions, matrix
//! products with stored matrices, pools, resizes, element-wise operations, concatenations and the like becomes one operator
//! of our own; everything else stays tract's. Inside of a region maps stay in blocks from entry to exit.

mod arrange;
mod codes;
mod compile;
mod form;
mod itself;
mod pack;
mod product;
mod program;
mod recognise;
mod resize;
mod softmax;
mod spread;
#[cfg(test)]
mod tests;
mod weights;

use super::stored_weights::as_constants;
use crate::kernels::isa::isa;
use crate::kernels::nchwc::{Kernels, Team};
use compile::Region;
use form::Form;
use program::{Convolutions, Program};
use recognise::{Forms, Recognised};
use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tract_onnx::tract_core::internal::*;
use tract_onnx::tract_core::ops::konst::Const;
use tract_onnx::tract_core::ops::source::TypedSource;

thread_local! {
    /// Threads for the regions that this thread runs.
    static THREADS: Cell<usize> = const { Cell::new(1) };
}

/// Runs `work` with up to `threads` threads for each region in it: this one, and others of rayon's pool that are idle.
pub fn with_threads<T>(threads: usize, work: impl FnOnce() -> T) -> T {
    /// Puts the number back, also after a panic.
    struct Before(usize);
    impl Drop for Before {
        fn drop(&mut self) {
            THREADS.set(self.0);
        }
    }
    let _before = Before(THREADS.replace(threads));
    work()
}

/// A compiled region as an operator of tract.
#[derive(Debug, Clone)]
pub struct RegionOp {
    program: Arc<Program>,
    inputs: Vec<Form>,
    outputs: Vec<Form>,
}

impl PartialEq for RegionOp {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.program, &other.program)
    }
}

impl Eq for RegionOp {}

impl RegionOp {
    /// Its dense convolutions.
    pub fn convolutions(&self) -> Convolutions {
        self.program.convolutions()
    }

    /// Runs it; `time` is told what each step took.
    pub fn run(&self, inputs: &[TValue], time: impl FnMut(&'static str, Duration)) -> TractResult<TVec<TValue>> {
        let views = inputs.iter().map(|v| v.to_plain_array_view::<f32>()).collect::<TractResult<Vec<_>>>()?;
        let mut slices = Vec::with_capacity(views.len());
        for (view, form) in views.iter().zip(&self.inputs) {
            let slice = view.as_slice().filter(|_| view.shape() == form.shape);
            slices.push(slice.with_context(|| format!("an input of {:?}, expected {:?}", view.shape(), form.shape))?);
        }
        let mut results: Vec<Vec<f32>> = self.outputs.iter().map(|form| vec![0f32; form.len()]).collect();
        let mut targets: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
        self.program.run(&slices, &mut targets, &Team::new(THREADS.get()), time);
        let tensor = |(values, form): (Vec<f32>, &Form)| {
            let array = tract_ndarray::ArrayD::from_shape_vec(form.shape.as_slice(), values)?;
            Ok(Tensor::from(array).into_tvalue())
        };
        results.into_iter().zip(&self.outputs).map(tensor).collect()
    }
}

impl Op for RegionOp {
    fn name(&self) -> StaticName {
        "Region".into()
    }

    fn info(&self) -> TractResult<Vec<String>> {
        let Program { steps, memory, .. } = &*self.program;
        Ok(vec![format!("{} steps, {memory} floats of memory, {:?}", steps.len(), self.convolutions())])
    }

    fn validation(&self) -> Validation {
        Validation::Rounding
    }

    op_as_typed_op!();
}

impl EvalOp for RegionOp {
    op_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        self.run(&inputs, |_, _| ())
    }
}

impl TypedOp for RegionOp {
    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        Ok(self.outputs.iter().map(|form| f32::fact(&form.shape)).collect())
    }

    as_op!();
}

/// A part of the graph that runs as one operator, with the nodes it stands for.
struct Built {
    op: RegionOp,
    inputs: Vec<OutletId>,
    outputs: Vec<OutletId>,
}

/// `model`, simplified and of fixed shapes, with its regions replaced.
pub fn replace(model: &TypedModel) -> TractResult<TypedModel> {
    let order = model.eval_order()?;
    let mut forms = Forms::new();
    let mut recognised: HashMap<usize, Recognised> = HashMap::new();
    // Nodes of one level with no other node between any two of them may run as one: from a region through something
    // else into a region again goes a level up.
    let mut levels: HashMap<usize, usize> = HashMap::new();
    for &id in &order {
        let node = model.node(id);
        let found = recognise::recognise(model, node, &forms)?;
        let level = node.inputs.iter().map(|input| {
            let level = levels.get(&input.node).copied().unwrap_or(0);
            level + usize::from(found.is_none() && recognised.contains_key(&input.node))
        });
        levels.insert(id, level.max().unwrap_or(0));
        if let Some(found) = found {
            forms.insert(OutletId::new(id, 0), found.output.clone());
            // What comes from outside has one form for all that read it.
            found.inputs.iter().for_each(|(outlet, form)| {
                forms.entry(*outlet).or_insert_with(|| form.clone());
            });
            recognised.insert(id, found);
        }
    }
    let mut reads: HashMap<OutletId, usize> = HashMap::new();
    let outlets = model.nodes.iter().flat_map(|n| &n.inputs).chain(model.output_outlets()?);
    outlets.for_each(|outlet| *reads.entry(*outlet).or_default() += 1);

    let mut regions: HashMap<usize, Vec<(OutletId, Recognised)>> = HashMap::new();
    for &id in &order {
        if let Some(found) = recognised.remove(&id) {
            regions.entry(levels[&id]).or_default().push((OutletId::new(id, 0), found));
        }
    }
    let mut built: Vec<Built> = Vec::new();
    let mut by_node: HashMap<usize, usize> = HashMap::new();
    for (_, nodes) in regions {
        if let Some(one) = build(model, nodes, &reads)? {
            one.0.iter().for_each(|id| {
                by_node.insert(*id, built.len());
            });
            built.push(one.1);
        }
    }
    rebuild(model, &order, &built, &by_node)
}

/// The operator for the nodes of a region, with their numbers.
fn build(
    model: &TypedModel,
    nodes: Vec<(OutletId, Recognised)>,
    reads: &HashMap<OutletId, usize>,
) -> TractResult<Option<(Vec<usize>, Built)>> {
    if !nodes.iter().any(|(_, n)| n.is_anchor()) {
        return Ok(None);
    }
    let ids: Vec<usize> = nodes.iter().map(|(o, _)| o.node).collect();
    let mut within: HashMap<OutletId, usize> = HashMap::new();
    nodes.iter().flat_map(|(_, n)| &n.inputs).for_each(|(outlet, _)| *within.entry(*outlet).or_default() += 1);
    let outputs: Vec<OutletId> = nodes.iter().map(|(o, _)| *o).filter(|o| reads.get(o) > within.get(o)).collect();
    let form = |outlet: &OutletId| nodes.iter().find(|(o, _)| o == outlet).map(|(_, n)| n.output.clone());
    let output_forms: Vec<Form> = outputs.iter().filter_map(form).collect();
    let mut input_forms: HashMap<OutletId, Form> = HashMap::new();
    nodes.iter().flat_map(|(_, n)| &n.inputs).for_each(|(o, f)| {
        input_forms.entry(*o).or_insert_with(|| f.clone());
    });
    let region = Region { nodes, outputs, reads: reads.clone() };
    let Some((program, inputs)) = compile::compile(&region, Kernels::of(isa())) else {
        log::debug!("a region of {} nodes around {} stays with tract", ids.len(), model.node(ids[0]).name);
        return Ok(None);
    };
    let forms = inputs.iter().filter_map(|o| input_forms.remove(o)).collect();
    let op = RegionOp { program: Arc::new(program), inputs: forms, outputs: output_forms };
    Ok(Some((ids, Built { op, inputs, outputs: region.outputs })))
}

/// The graph with operators in the place of the nodes that they stand for.
fn rebuild(
    model: &TypedModel,
    order: &[usize],
    built: &[Built],
    by_node: &HashMap<usize, usize>,
) -> TractResult<TypedModel> {
    let mut target = TypedModel { symbols: model.symbols.clone(), ..TypedModel::default() };
    let mut mapped: HashMap<OutletId, OutletId> = HashMap::new();
    for &input in model.input_outlets()? {
        let node = model.node(input.node);
        let new = target.add_source(node.name.clone(), node.outputs[0].fact.clone())?;
        mapped.insert(input, new);
    }
    let mut open: Vec<usize> = order.iter().copied().filter(|id| !model.node(*id).op_is::<TypedSource>()).collect();
    let mut done = vec![false; built.len()];
    // A region waits for all that it reads, some of which comes later in the graph's order than its first node.
    while !open.is_empty() {
        let before = open.len();
        let mut still = Vec::new();
        for id in open {
            let node = model.node(id);
            let (op, inputs, outputs): (Box<dyn TypedOp>, &[OutletId], Vec<OutletId>) = match by_node.get(&id) {
                Some(&region) if done[region] => continue,
                Some(&region) => {
                    (Box::new(built[region].op.clone()), &built[region].inputs, built[region].outputs.clone())
                }
                None => {
                    let outlets = (0..node.outputs.len()).map(|slot| OutletId::new(id, slot)).collect();
                    let op = softmax::exact(model, node)
                        .map_or_else(|| node.op.clone(), |op| Box::new(op) as Box<dyn TypedOp>);
                    (op, &node.inputs, outlets)
                }
            };
            let Some(wires) = inputs.iter().map(|o| mapped.get(o).copied()).collect::<Option<Vec<OutletId>>>() else {
                still.push(id);
                continue;
            };
            let new = match node.op_as::<Const>() {
                Some(constant) => tvec!(target.add_const(node.name.clone(), constant.val().clone())?),
                None => target.wire_node(node.name.clone(), op, &wires)?,
            };
            if let Some(&region) = by_node.get(&id) {
                done[region] = true;
            }
            outputs.into_iter().zip(new).for_each(|(old, new)| {
                mapped.insert(old, new);
            });
        }
        ensure!(still.len() < before, "regions wait for each other");
        open = still;
    }
    let outputs = model.output_outlets()?.iter().map(|o| mapped.get(o).copied());
    let outputs = outputs.collect::<Option<Vec<OutletId>>>().context("an output has been lost")?;
    target.select_output_outlets(&outputs)?;
    target.compact()?;
    as_constants(target)
}
