//! INT8 quantization and calibration: an ONNX model and some images in, a calibrated INT8 engine and a report of what
//! it costs out. Everything the command line does is a function here.
//!
//! ```text
//!  config.yaml ─► config::Job
//!  model.onnx ──► onnx::import ─► ir::Graph ─► rewrite::run ─► Graph, fused, FP32
//!  images ──────► data::Loader ─► batches ─┐
//!                                          ▼
//!            an FP32 engine with taps ─► calib::TensorStats ─► calib::methods ─► ranges, in calib::Cache
//!                                                                                  │
//!            quant::{codings, decide, unify, annotate} ◄───────────────────────────┘
//!                 ▼
//!            plan::lower ─► device::Problem ─► tune::Tuner ─► device::Tactic
//!                 ▼
//!            engine::Engine (a file) ─► engine::Session ─► eval ─► report::Report ─► HTML, Markdown, JSON
//! ```
//!
//! # Running an engine
//!
//! [`engine::Engine`] is the file, [`engine::Session`] runs it over `ndarray` views. Sessions share one mapped engine;
//! each has memory and threads of its own.
//!
//! ```no_run
//! use ndarray::ArrayD;
//! use quantize::engine::{Engine, Session};
//!
//! # fn main() -> quantize::base::Result<()> {
//! let engine = Engine::load("reports/resnet/resnet.engine".as_ref())?;
//! let mut session = Session::on_host(&engine)?;
//! let images = ArrayD::<f32>::zeros(vec![4, 3, 64, 64]);
//! let logits = session.run(&[images.view()])?;
//! println!("{} of {:?}", logits[0], engine.origin.labels);
//! # Ok(())
//! # }
//! ```
//!
//! Pictures go in as they are, u8 `[n, H, W, C]`, where the engine knows their preprocessing: `session.run(pictures.view())`.
//! [`engine::stream`] keeps several batches in flight, so that a GPU computes while others are copied.
//!
//! # Building one
//!
//! [`pipeline::run`] carries out a whole [`config::Job`]. The steps stand alone too; here they make an 8-bit engine of
//! a graph in its text form, with ranges that are known beforehand:
//!
//! ```
//! use ndarray::arr2;
//! use quantize::base::{Silent, quant::QuantParams};
//! use quantize::device::cpu::Cpu;
//! use quantize::engine::{self, Origin, Session, Settings};
//! use quantize::ir::Graph;
//! use quantize::quant;
//! use quantize::tune::{TimingCache, Tuner};
//!
//! # fn main() -> quantize::base::Result<()> {
//! let mut graph = Graph::parse(
//!     "graph tiny
//!      input %x: f32[1,2]
//!      const %w: f32[2,2] = [1.0, 0.5, -0.5, 1.0]
//!      %y: f32[1,2] = Linear(%x, %w)  # head
//!      output %y
//!      ",
//! )?;
//! let x = graph.inputs[0];
//! quant::decide(&mut graph, &quant::Settings::default(), |v| v == x);
//! let mut params = vec![None; graph.value_count()];
//! params[x.index()] = Some(QuantParams::signed(1.27)); // steps of 0.01
//! quant::annotate(&mut graph, &params);
//!
//! let cpu = Cpu::host();
//! let mut tuner = Tuner::new(&cpu, TimingCache::default(), None);
//! let settings = Settings { max_batch: 8, ..Settings::default() };
//! let engine = engine::build(&graph, &cpu, &mut tuner, settings, Origin::default(), &Silent)?;
//! assert!(engine.plan.steps.iter().any(|step| step.is_int8()));
//!
//! let mut session = Session::new(&engine, &cpu)?;
//! let y = session.run(&[arr2(&[[1.0, 0.5], [0.0, -1.0]]).view().into_dyn()])?;
//! assert!((y[0][[0, 0]] - 1.25).abs() < 0.01);
//! assert!((y[0][[1, 1]] + 1.0).abs() < 0.01);
//! # Ok(())
//! # }
//! ```
//!
//! # Rooms
//!
//! A module uses what is below it, never what is beside or above it.
//!
//! | room | what lives there |
//! |---|---|
//! | [`cli`] | arguments, progress, one file per command |
//! | [`pipeline`] | the verbs: import, calibrate, build, evaluate |
//! | [`config`] | the YAML schema; files to a [`config::Job`] |
//! | [`engine`] | the engine file, sessions |
//! | [`plan`] | steps over buffers, their memory, and the checker that proves them |
//! | [`tune`] | the tuner and its timing cache |
//! | [`device`], [`quant`], [`rewrite`] | problems, tactics, kernels; precision and scales; fusions |
//! | [`onnx`], [`calib`], [`eval`] | the importer; statistics, methods, caches; metrics and drift |
//! | [`ir`], [`data`], [`report`] | graphs and operators; datasets and preprocessing; the report and its renderings |
//! | [`base`] | types, the one rounding, errors, digests |
//!
//! Every fallible function returns [`base::Result`], whose error says what, where, what was expected and what to do.
#![warn(missing_docs)]

pub mod base;
pub mod calib;
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod engine;
pub mod eval;
pub mod ir;
pub mod onnx;
pub mod pipeline;
pub mod plan;
pub mod quant;
pub mod report;
pub mod rewrite;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod tune;

/// The examples of README.md, which must compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
