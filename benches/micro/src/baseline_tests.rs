use super::*;

const HERE: &str = "x86_64+avx2, rustc 1.95.0, valgrind 3";

fn machine(key: &str) -> Machine {
    Machine::parse(key).expect("a machine")
}

fn counts(cases: &[(&str, u64)]) -> Vec<(String, u64)> {
    cases.iter().map(|(case, count)| ((*case).to_owned(), *count)).collect()
}

fn baseline() -> Baseline {
    let mut baseline = Baseline::default();
    baseline.bless(&machine(HERE), "here".to_owned(), &counts(&[("path", 1000), ("check", 50_000)]));
    baseline
}

#[test]
fn a_machine_is_read_as_it_writes_itself() {
    assert_eq!(machine(HERE).to_string(), HERE);
    assert_eq!(Machine::parse("x86_64"), None);
}

#[test]
fn a_case_may_be_three_percent_from_its_baseline() {
    for (now, expected) in [
        (1000, "same"),
        (1030, "same"),
        (970, "same"),
        (1031, "worse"),
        (2000, "worse"),
        (969, "better"),
        (0, "better"),
    ] {
        let Compared::Lines(lines, gone) =
            baseline().compare(&machine(HERE), &counts(&[("path", now), ("check", 50_000)]))
        else {
            panic!("not compared")
        };
        let word = match lines[0].verdict {
            Verdict::Same => "same",
            Verdict::Worse(_) => "worse",
            Verdict::Better(_) => "better",
            Verdict::New => "new",
        };
        assert_eq!(word, expected, "{now}");
        assert_eq!(lines[0].verdict.passes(), expected == "same", "{now}");
        assert!(lines[1].verdict.passes() && gone.is_empty(), "{now}");
    }
}

#[test]
fn a_case_that_comes_or_goes_is_noticed() {
    let Compared::Lines(lines, gone) = baseline().compare(&machine(HERE), &counts(&[("path", 1000), ("host", 1)]))
    else {
        panic!("not compared")
    };
    assert_eq!((lines[1].verdict, lines[1].before), (Verdict::New, None));
    assert_eq!(gone, ["check"]);
}

#[test]
fn counts_of_two_machines_are_not_compared() {
    for (key, expected) in [
        ("x86_64+avx2, rustc 1.96.0, valgrind 3", Compared::OtherCompiler("1.95.0".to_owned())),
        ("x86_64, rustc 1.95.0, valgrind 3", Compared::OtherMachine),
        ("aarch64, rustc 1.95.0, valgrind 3", Compared::OtherMachine),
        ("x86_64+avx2, rustc 1.95.0, valgrind 4", Compared::OtherMachine),
    ] {
        assert_eq!(baseline().compare(&machine(key), &counts(&[("path", 1000)])), expected, "{key}");
    }
    assert_eq!(Baseline::default().compare(&machine(HERE), &counts(&[])), Compared::Nothing);
}

#[test]
fn blessing_replaces_the_counts_of_this_kind_of_machine_only() {
    let mut baseline = baseline();
    let arm = "aarch64, rustc 1.95.0, valgrind 3";
    baseline.bless(&machine(arm), "there".to_owned(), &counts(&[("path", 900)]));
    let newer = "x86_64+avx2, rustc 1.96.0, valgrind 3";
    baseline.bless(&machine(newer), "here".to_owned(), &counts(&[("path", 950)]));
    assert_eq!(baseline.machines.keys().collect::<Vec<_>>(), [arm, newer]);
    assert_eq!(baseline.machines[newer].cases, counts(&[("path", 950)]).into_iter().collect());
}

#[test]
fn bounds_hold_without_a_baseline() {
    let bounds = [
        Bound { case: "many", limit: Limit::PercentOf(125, "few") },
        Bound { case: "whole", limit: Limit::Instructions(100) },
    ];
    for (many, few, whole, passed) in [(125, 100, 100, 0), (126, 100, 100, 1), (125, 100, 101, 1), (300, 100, 300, 2)] {
        let counted = counts(&[("many", many), ("few", few), ("whole", whole)]);
        assert_eq!(passed_bounds(&bounds, &counted).len(), passed, "{many} {few} {whole}");
    }
    // A bound on what is not there any more holds nothing.
    assert_eq!(passed_bounds(&bounds, &counts(&[("many", 1), ("whole", 1)])).len(), 1);
}

#[test]
fn every_bound_is_on_cases_that_are_counted() {
    let gated: Vec<String> =
        crate::cases::all().iter().filter(|case| case.is_gated).map(crate::cases::Case::id).collect();
    for bound in BOUNDS {
        assert!(gated.iter().any(|id| id == bound.case), "{}", bound.case);
        if let Limit::PercentOf(_, other) = bound.limit {
            assert!(gated.iter().any(|id| id == other), "{other}");
        }
    }
}
