//! `patch` and `classical`: a region compared place by place.
//!
//! A view is described in several ways: by feature maps of the network, which know shapes, and by filters on its pixels,
//! which see what is small and faint. Each description is compared with that of the good parts: at the same
//! place if the parts have a pose ([`super::posed`]), with all places of a texture ([`super::texture`]). The maps are
//! brought to one scale, at which 1 is the highest that an unseen good part usually shows, and joined.
//! `classical` uses the filters alone.

use super::features::FeatureNet;
use super::frame::{Frame, View};
use super::light::{LightField, even, relight};
use super::memory::{Scored, Store, loaded};
use super::pixels;
use super::posed::Posed;
use super::texture::Texture;
use crate::error::{Error, Result};
use crate::image::{Gray, Image};
use crate::recipe::Method;
use crate::tasks::timed;
use crate::tensor::Tensor;
use rayon::prelude::*;

/// The network sees parts with a pose in about this many pixels a side: at fewer, defects of a few pixels are lost.
const SIDE_POSED: u32 = 320;
/// The same for a texture, whose grain says more at the size that it has.
const SIDE_TEXTURE: u32 = 256;
/// Sides of a place in pixels of the network's input.
const NETWORK_CELL: usize = 8;
/// Sides of a place in pixels of the filters' picture, for parts with a pose: as fine as the pose is known.
const FILTER_CELL_POSED: usize = 4;
/// The same for a texture: enough pixels to tell its grain.
const FILTER_CELL_TEXTURE: usize = 8;
/// Relit copies of each good part that are learned besides the part itself, and scored to find scale and threshold.
const COPIES: usize = 2;

/// How a view is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// The network's feature map of this number, from fine to coarse.
    Network(usize),
    /// Filters on the pixels.
    Filters,
}

impl Sight {
    fn name(self) -> String {
        match self {
            Sight::Network(map) => format!("network{map}"),
            Sight::Filters => "filters".into(),
        }
    }

    /// A deeper map than the finest tells shapes apart, which parts with a pose have; of a texture it sees noise.
    fn of(method: Method, posed: bool) -> &'static [Sight] {
        match (method, posed) {
            (Method::Classical, _) => &[Sight::Filters],
            (_, true) => &[Sight::Network(0), Sight::Network(1), Sight::Filters],
            (_, false) => &[Sight::Network(0), Sight::Filters],
        }
    }
}

/// The descriptions of a view, in the order of `sights`. The network runs once for all of its maps.
fn describe(sights: &[Sight], view: &Image, posed: bool, net: Option<&FeatureNet>) -> Result<Vec<Grid>> {
    let uses_network = sights.iter().any(|s| matches!(s, Sight::Network(_)));
    let maps = match uses_network {
        true => timed("network", || loaded(net)?.run(view, side(posed)))?.maps,
        false => Vec::new(),
    };
    let cell = if posed { FILTER_CELL_POSED } else { FILTER_CELL_TEXTURE };
    let one = |sight: &Sight| match sight {
        Sight::Filters => timed("filters", || pixels::describe(view, cell)),
        Sight::Network(map) => {
            let map = maps.get(*map).ok_or_else(|| {
                Error::Internal(format!("the network gives {} feature maps, number {map} was asked for", maps.len()))
            })?;
            timed("pool", || pooled(map, side(posed)))
        }
    };
    sights.iter().map(one).collect()
}

fn side(posed: bool) -> u32 {
    if posed { SIDE_POSED } else { SIDE_TEXTURE }
}

/// The memory of one description.
#[derive(Debug)]
enum Reference {
    Posed(Posed),
    Texture(Texture),
}

impl Reference {
    fn distances(&self, grid: Grid) -> Result<Gray> {
        match self {
            Reference::Posed(m) => m.distances(&grid),
            Reference::Texture(m) => m.distances(grid),
        }
    }
}

/// What is remembered of a region.
#[derive(Debug)]
pub(super) struct Places {
    /// The light of the good parts, if they have a pose.
    light: Option<LightField>,
    layers: Vec<Layer>,
}

#[derive(Debug)]
struct Layer {
    sight: Sight,
    reference: Reference,
    /// The highest distance that an unseen good part usually shows.
    unit: f32,
}

impl Places {
    /// Learns from views of good parts. Returns also the scores of the relit copies, each held against the others.
    pub fn learn(
        method: Method,
        views: &[&View],
        posed: bool,
        net: Option<&FeatureNet>,
        seed: u64,
    ) -> Result<(Self, Vec<f32>)> {
        let light = LightField::common(views.iter().map(|v| &v.image), posed);
        let goods = views.par_iter().map(|v| even(&light, &v.image)).collect::<Result<Vec<_>>>()?;
        let copies = (0..views.len() * COPIES)
            .into_par_iter()
            .map(|i| {
                let view = views[i / COPIES];
                let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(i as u64));
                even(&light, &relight(&view.image, view.shrunk(), &mut rng)?)
            })
            .collect::<Result<Vec<_>>>()?;
        let sights = Sight::of(method, posed);
        let describe_all = |images: Vec<Image>| {
            images.par_iter().map(|i| describe(sights, i, posed, net)).collect::<Result<Vec<Vec<Grid>>>>()
        };
        let mut goods: Vec<_> = describe_all(goods)?.into_iter().map(Vec::into_iter).collect();
        let mut copies: Vec<_> = describe_all(copies)?.into_iter().map(Vec::into_iter).collect();
        let mut layers = Vec::new();
        let mut maps: Vec<Vec<Gray>> = vec![Vec::new(); copies.len()];
        for &sight in sights {
            let goods: Vec<Grid> = goods.iter_mut().filter_map(Iterator::next).collect();
            let copies: Vec<Grid> = copies.iter_mut().filter_map(Iterator::next).collect();
            let seen: Vec<Vec<bool>> = views.iter().map(|v| v.seen(goods[0].width, goods[0].height)).collect();
            let samples = Samples { goods, copies, copies_each: COPIES, seen };
            let (reference, held_out) = match posed {
                true => {
                    let (memory, maps) = Posed::learn(&samples);
                    (Reference::Posed(memory), maps)
                }
                false => {
                    let (memory, maps) = Texture::learn(samples, seed)?;
                    (Reference::Texture(memory), maps)
                }
            };
            let mut held_out: Vec<Gray> = held_out.iter().map(finish_map).collect();
            let mut highest: Vec<f32> = held_out.iter().map(Gray::max).collect();
            highest.sort_by(f32::total_cmp);
            let unit = highest[highest.len() / 2].max(1e-6);
            held_out.iter_mut().for_each(|m| scale(m, unit));
            for (all, map) in maps.iter_mut().zip(held_out) {
                all.push(map);
            }
            layers.push(Layer { sight, reference, unit });
        }
        let held_out = maps.into_iter().map(|m| join(m, power(posed)).max()).collect();
        Ok((Places { light, layers }, held_out))
    }

    /// Scores a view: the map is 1 where an unseen good part is at its worst.
    pub fn score(&self, view: &View, net: Option<&FeatureNet>) -> Result<Scored> {
        let posed = self.light.is_some();
        let image = timed("light", || even(&self.light, &view.image))?;
        let sights: Vec<Sight> = self.layers.iter().map(|l| l.sight).collect();
        let mut maps = Vec::new();
        for (layer, grid) in self.layers.iter().zip(describe(&sights, &image, posed, net)?) {
            let mut distances = timed("distances", || layer.reference.distances(grid))?;
            let seen = view.seen(distances.width, distances.height);
            for (value, _) in distances.data.iter_mut().zip(seen).filter(|(_, seen)| !seen) {
                *value = 0.0;
            }
            let mut map = finish_map(&distances);
            scale(&mut map, layer.unit);
            maps.push(map);
        }
        let map = timed("join", || join(maps, power(posed)));
        Ok(Scored { score: map.max(), map: Some(map) })
    }

    /// Compiles the plan that views of `frame` will need.
    pub fn prepare(&self, frame: &Frame, net: Option<&FeatureNet>) -> Result<()> {
        if self.layers.iter().all(|l| l.sight == Sight::Filters) {
            return Ok(());
        }
        loaded(net)?.prepare(frame.width, frame.height, side(self.light.is_some()))
    }

    pub fn write(&self, store: &mut Store) {
        store.put_light(&self.light);
        for layer in &self.layers {
            let name = &layer.sight.name();
            store.put(&format!("{name}.unit"), &[1], &[layer.unit]);
            match &layer.reference {
                Reference::Posed(m) => m.write(store, name),
                Reference::Texture(m) => m.write(store, name),
            }
        }
    }

    pub fn read(store: &Store, method: Method) -> Result<Self, String> {
        let light = store.light()?;
        let posed = light.is_some();
        let layer = |&sight: &Sight| {
            let ([_], unit) = store.array::<1>(&format!("{}.unit", sight.name()))?;
            let reference = match posed {
                true => Reference::Posed(Posed::read(store, &sight.name())?),
                false => Reference::Texture(Texture::read(store, &sight.name())?),
            };
            let unit = unit.first().copied().filter(|u| *u > 0.0).ok_or("a unit is not positive")?;
            Ok::<_, String>(Layer { sight, reference, unit })
        };
        Ok(Places { light, layers: Sight::of(method, posed).iter().map(layer).collect::<Result<_, _>>()? })
    }
}

fn scale(map: &mut Gray, unit: f32) {
    map.data.iter_mut().for_each(|v| *v /= unit);
}

/// From squared distances to a map of distances, a little smoothed: a defect covers neighbouring places, noise does not.
fn finish_map(squares: &Gray) -> Gray {
    let mut map = smooth_map(squares);
    map.data.iter_mut().for_each(|v| *v = v.sqrt());
    map
}

/// How maps are joined, as the power of a mean: parts with a pose are judged by all descriptions together, a texture by
/// the one that sees most, since each is blind to some kind of grain.
fn power(posed: bool) -> i32 {
    if posed { 2 } else { 8 }
}

/// The power mean of the maps at each place, on the finest of their grids.
fn join(mut maps: Vec<Gray>, power: i32) -> Gray {
    maps.sort_by_key(|m| m.data.len());
    let Some(finest) = maps.last() else { return Gray::filled(1, 1, 0.0) };
    let (width, height, share) = (finest.width, finest.height, 1.0 / maps.len() as f32);
    let mut joined = Gray::filled(width, height, 0.0);
    for map in &maps {
        let (gain_x, gain_y) = (map.width as f32 / width as f32, map.height as f32 / height as f32);
        for (i, value) in joined.data.iter_mut().enumerate() {
            let (x, y) = ((i % width) as f32 + 0.5, (i / width) as f32 + 0.5);
            *value += map.sample(x * gain_x, y * gain_y).powi(power) * share;
        }
    }
    joined.data.iter_mut().for_each(|v| *v = v.powf(1.0 / power as f32));
    joined
}

/// Descriptions of good parts and of their relit copies.
#[derive(Debug)]
pub(super) struct Samples {
    /// One a good part.
    pub goods: Vec<Grid>,
    /// `copies_each` a good part, in the same order.
    pub copies: Vec<Grid>,
    /// Copies of each good part.
    pub copies_each: usize,
    /// For each good part the cells that lie in its photograph.
    pub seen: Vec<Vec<bool>>,
}

/// Descriptors on a grid: `dim` values a cell, cell by cell, row by row.
#[derive(Debug, Clone)]
pub(super) struct Grid {
    pub width: usize,
    pub height: usize,
    pub dim: usize,
    pub values: Vec<f32>,
}

impl Grid {
    /// A grid of zeros.
    pub fn zeros(width: usize, height: usize, dim: usize) -> Self {
        Grid { width, height, dim, values: vec![0.0; width * height * dim] }
    }

    /// The descriptor of each cell, in order.
    pub fn cells(&self) -> impl Iterator<Item = &[f32]> + Clone {
        self.values.chunks_exact(self.dim)
    }

    /// Sets value `slot` of each cell to the mean of `at` over its `cell` x `cell` pixels.
    pub fn add_cells(&mut self, slot: usize, cell: usize, at: impl Fn(usize, usize) -> f32) {
        let share = 1.0 / (cell * cell) as f32;
        for y in 0..self.height * cell {
            let row = (y / cell) * self.width;
            for x in 0..self.width {
                let sum: f32 = (x * cell..(x + 1) * cell).map(|x| at(x, y)).sum();
                self.values[(row + x) * self.dim + slot] += sum * share;
            }
        }
    }
}

/// The descriptors of a feature map: each of its cells averaged with its eight neighbours as PatchCore does (Roth et al.
/// 2022), then averaged to places of [`NETWORK_CELL`] pixels. A map coarser than that keeps its own resolution.
fn pooled(map: &Tensor, side: u32) -> Result<Grid> {
    let (dim, rows, columns) = map.chw()?;
    // The stride of the map: its cells tile about side x side pixels.
    let stride = (side as f32 / ((rows * columns) as f32).sqrt()).round().max(1.0) as usize;
    let cell = (NETWORK_CELL / stride).max(1);
    let mut grid = Grid::zeros(columns / cell, rows / cell, dim);
    for (c, plane) in map.data().chunks_exact(rows * columns).enumerate() {
        let smooth =
            crate::preprocess::filters::box_mean(&Gray { width: columns, height: rows, data: plane.to_vec() }, 1);
        grid.add_cells(c, cell, |x, y| smooth.at(x, y));
    }
    Ok(grid)
}

/// A Gaussian of sigma 0.7 cells.
pub(super) fn smooth_map(map: &Gray) -> Gray {
    three_tap(map, 0.2075) // exp(-1 / (2 * 0.7^2)), divided by 1 + 2 exp(...)
}

/// The kernel (side, 1 - 2 side, side) along both axes, borders repeated.
pub(super) fn three_tap(map: &Gray, side: f32) -> Gray {
    let middle = 1.0 - 2.0 * side;
    let (w, h) = (map.width, map.height);
    let mut rows = Vec::with_capacity(map.data.len());
    for row in map.data.chunks_exact(w) {
        rows.extend((0..w).map(|x| side * (row[x.saturating_sub(1)] + row[(x + 1).min(w - 1)]) + middle * row[x]));
    }
    let mut data = Vec::with_capacity(map.data.len());
    for y in 0..h {
        let (above, here, below) =
            (&rows[y.saturating_sub(1) * w..][..w], &rows[y * w..][..w], &rows[(y + 1).min(h - 1) * w..][..w]);
        data.extend((0..w).map(|x| side * (above[x] + below[x]) + middle * here[x]));
    }
    Gray { data, ..*map }
}
