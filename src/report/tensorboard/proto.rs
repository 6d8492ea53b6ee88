//! The messages of TensorBoard's event files, as far as they are written here.
//!
//! Field numbers are those of `tensorflow/core/util/event.proto` and `tensorflow/core/framework/summary.proto`.

/// Something with its time and its step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    pub wall_time: f64,
    /// The step.
    #[prost(int64, tag = "2")]
    pub step: i64,
    /// What.
    #[prost(oneof = "What", tags = "3, 5, 7")]
    pub what: Option<What>,
}

/// What an event holds.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum What {
    /// The first event of every file.
    #[prost(string, tag = "3")]
    FileVersion(String),
    /// Figures.
    #[prost(message, tag = "5")]
    Summary(Summary),
    /// A training begins or goes on: what has this step or a later one counts no more.
    #[prost(message, tag = "7")]
    SessionLog(SessionLog),
}

/// Figures of one step.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Summary {
    /// Each with its name.
    #[prost(message, repeated, tag = "1")]
    pub value: Vec<Value>,
}

/// One figure.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Value {
    /// Its name.
    #[prost(string, tag = "1")]
    pub tag: String,
    /// What it is.
    #[prost(oneof = "Figure", tags = "2, 5")]
    pub figure: Option<Figure>,
}

/// A number or a distribution.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Figure {
    /// A number.
    #[prost(float, tag = "2")]
    SimpleValue(f32),
    /// A distribution.
    #[prost(message, tag = "5")]
    Histo(HistogramProto),
}

/// A distribution.
#[derive(Clone, PartialEq, prost::Message)]
pub struct HistogramProto {
    /// The smallest value.
    #[prost(double, tag = "1")]
    pub min: f64,
    /// The largest value.
    #[prost(double, tag = "2")]
    pub max: f64,
    /// How many values.
    #[prost(double, tag = "3")]
    pub num: f64,
    /// Their sum.
    #[prost(double, tag = "4")]
    pub sum: f64,
    /// The sum of their squares.
    #[prost(double, tag = "5")]
    pub sum_squares: f64,
    /// The upper end of each bin.
    #[prost(double, repeated, tag = "6")]
    pub bucket_limit: Vec<f64>,
    /// How many values lie in each.
    #[prost(double, repeated, tag = "7")]
    pub bucket: Vec<f64>,
}

/// A training begins or goes on.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SessionLog {
    /// 1: it starts.
    #[prost(int32, tag = "1")]
    pub status: i32,
}
