//! What a station remembers of its audit file: the last parts, what was said of them, and counters of the last day.

use super::super::audit::shifts::Made;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, VecDeque};

/// So many parts are remembered; older ones are in the audit file.
const PARTS: usize = 1000;
/// Counters go back this many minutes.
const DAY: i64 = 24 * 60;

/// A part and what a person said of it.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its number in the audit file.
    pub seq: u64,
    /// The record.
    pub record: Map<String, Value>,
    /// The last judgement's record.
    pub judged: Option<Map<String, Value>>,
}

impl Remembered {
    /// The number of what was last put on record about it.
    fn changed(&self) -> u64 {
        self.judged.as_ref().and_then(|j| j.get("seq")?.as_u64()).unwrap_or(self.seq)
    }

    /// The record with what was said of it.
    pub fn value(&self) -> Value {
        let mut record = self.record.clone();
        record.insert("judged".into(), json!(self.judged));
        Value::Object(record)
    }

    /// The name below the store's folder, if its pictures are kept.
    pub fn stored(&self) -> Option<&str> {
        self.record.get("stored")?.as_str()
    }
}

/// What a recipe did in one minute.
#[derive(Debug, Default)]
struct Minute {
    made: Made,
    /// Fails by region.
    regions: BTreeMap<String, u64>,
}

/// The last parts and counters.
#[derive(Debug, Default)]
pub struct History {
    last: u64,
    parts: VecDeque<Remembered>,
    /// By recipe and minute since 1970.
    minutes: BTreeMap<(String, i64), Minute>,
}

impl History {
    /// Takes in a record of the audit file.
    pub fn add(&mut self, record: &Map<String, Value>) {
        let Some(seq) = record.get("seq").and_then(Value::as_u64) else { return };
        self.last = seq;
        match record.get("type").and_then(Value::as_str) {
            Some("inspect") => {
                self.count(record);
                self.parts.push_back(Remembered { seq, record: record.clone(), judged: None });
                if self.parts.len() > PARTS {
                    self.parts.pop_front();
                }
            }
            Some("judgement") => {
                let of = record.get("of").and_then(Value::as_u64);
                if let Some(part) = self.parts.iter_mut().rev().find(|p| Some(p.seq) == of) {
                    part.judged = Some(record.clone());
                }
            }
            _ => {}
        }
    }

    fn count(&mut self, record: &Map<String, Value>) {
        let text = |key: &str| record.get(key).and_then(Value::as_str);
        let Some(minute) = text("time").and_then(minute_of) else { return };
        let now = minute_of_time(Timestamp::now());
        if minute <= now - DAY {
            return;
        }
        self.minutes.retain(|(_, m), _| *m > now - DAY);
        let recipe = text("recipe").unwrap_or_default().to_string();
        let entry = self.minutes.entry((recipe, minute)).or_default();
        let verdict = text("verdict").unwrap_or("error");
        *entry.made.verdicts.entry(verdict.to_string()).or_default() += 1;
        for region in record.get("regions").and_then(Value::as_array).into_iter().flatten() {
            let name = region["name"].as_str().filter(|_| region["verdict"] != "pass");
            name.into_iter().for_each(|name| *entry.regions.entry(name.to_string()).or_default() += 1);
        }
    }

    /// The number of the last record, and the newest parts first that are newer, or were judged later, than `after`.
    pub fn newer(&self, after: u64, limit: usize) -> (u64, Vec<Value>) {
        let newer = self.parts.iter().rev().filter(|p| p.changed() > after);
        (self.last, newer.take(limit).map(Remembered::value).collect())
    }

    /// The part of that number, if it is remembered.
    pub fn part(&self, seq: u64) -> Option<&Remembered> {
        let at = self.parts.binary_search_by_key(&seq, |p| p.seq).ok()?;
        self.parts.get(at)
    }

    /// The part of a request that was answered already, if it is remembered.
    pub fn answered(&self, request: &str) -> Option<&Remembered> {
        self.parts.iter().rev().find(|p| p.record.get("request").and_then(Value::as_str) == Some(request))
    }

    /// The counters of `recipe`, or of all: the last day, the last hour, fails by region.
    pub fn counters(&self, recipe: Option<&str>) -> Value {
        let now = minute_of_time(Timestamp::now());
        let (mut day, mut hour, mut regions) = (Made::default(), Made::default(), BTreeMap::new());
        for ((name, minute), counted) in &self.minutes {
            if recipe.is_some_and(|r| r != name) || *minute <= now - DAY {
                continue;
            }
            day.add(&counted.made);
            if *minute > now - 60 {
                hour.add(&counted.made);
            }
            for (region, count) in &counted.regions {
                *regions.entry(region).or_insert(0) += count;
            }
        }
        let since = Timestamp::from_second((now - DAY + 1) * 60).unwrap_or_default();
        json!({
            "recipe": recipe, "since": since.to_string(), "all": table(&day), "last_hour": table(&hour), "regions": regions,
        })
    }
}

fn table(made: &Made) -> Value {
    json!({
        "parts": made.all(), "pass": made.of("pass"), "fail": made.of("fail"), "misplaced": made.of("misplaced"),
        "error": made.of("error"), "yield": made.share(),
    })
}

fn minute_of(time: &str) -> Option<i64> {
    Some(minute_of_time(time.parse().ok()?))
}

fn minute_of_time(time: Timestamp) -> i64 {
    time.as_second().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(value: Value) -> Map<String, Value> {
        let Value::Object(map) = value else { unreachable!() };
        map
    }

    fn part(seq: u64, recipe: &str, verdict: &str, minutes_ago: i64) -> Map<String, Value> {
        let time = Timestamp::from_second(Timestamp::now().as_second() - 60 * minutes_ago).unwrap();
        record(json!({
            "seq": seq, "type": "inspect", "time": time.to_string(), "recipe": recipe, "verdict": verdict, "stored": "fail/a.jpg",
            "regions": [{"name": "label", "verdict": verdict}, {"name": "cap", "verdict": "pass"}],
        }))
    }

    #[test]
    fn the_last_day_is_counted() {
        let mut history = History::default();
        for (seq, (verdict, ago)) in
            [("fail", 1500), ("fail", 90), ("pass", 5), ("pass", 1), ("fail", 0)].iter().enumerate()
        {
            history.add(&part(seq as u64 + 1, "a", verdict, *ago));
        }
        history.add(&part(6, "b", "misplaced", 0));
        let counters = history.counters(Some("a"));
        assert_eq!(
            counters["all"],
            json!({"parts": 4, "pass": 2, "fail": 2, "misplaced": 0, "error": 0, "yield": 0.5})
        );
        assert_eq!((&counters["last_hour"]["parts"], &counters["regions"]), (&json!(3), &json!({"label": 2})));
        assert_eq!(history.counters(None)["all"]["parts"], 5);
        assert_eq!(history.counters(Some("c"))["all"]["yield"], Value::Null);
    }

    #[test]
    fn a_judgement_brings_a_part_back() {
        let mut history = History::default();
        (1..=3).for_each(|seq| history.add(&part(seq, "a", "fail", 0)));
        history.add(&record(json!({"seq": 4, "type": "judgement", "of": 2, "judged": "good"})));
        let numbers = |(last, parts): (u64, Vec<Value>)| {
            (last, parts.iter().map(|p| p["seq"].as_u64().unwrap()).collect::<Vec<_>>())
        };
        assert_eq!(numbers(history.newer(0, 2)), (4, vec![3, 2]));
        assert_eq!(numbers(history.newer(3, 10)), (4, vec![2]));
        assert_eq!(history.part(2).unwrap().value()["judged"]["judged"], "good");
        assert!(history.part(4).is_none() && history.part(3).unwrap().judged.is_none());
        (5..2000).for_each(|seq| history.add(&part(seq, "a", "pass", 0)));
        assert!(history.part(2).is_none() && history.newer(0, 5000).1.len() == PARTS);
    }
}
