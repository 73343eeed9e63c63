//! The table, as Markdown.

use std::fmt::Write;

use crate::mover::Way;
use crate::summary::{Measured, Run, Spread};

/// What was measured, as two tables and the machine they are of.
pub fn markdown(measured: &Measured) -> String {
    let mut text = String::new();
    // Writing into a text cannot fail.
    let _ = write(&mut text, measured);
    text
}

fn write(text: &mut String, measured: &Measured) -> std::fmt::Result {
    let machine = &measured.machine;
    writeln!(
        text,
        "{}, {} cores, {} GiB, Linux {}, {}",
        machine.processor, machine.cores, machine.memory_gib, machine.kernel, machine.date
    )?;
    for (name, value) in &measured.variables {
        writeln!(text, "with {name} = {value}")?;
    }
    writeln!(
        text,
        "\n| case | way | files | files/s | MB/s | CPU s | process MiB | instance MiB | Odoo calls | Storage calls | SQL |"
    )?;
    writeln!(text, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
    for runs in measured.groups() {
        row(text, &runs)?;
    }
    writeln!(
        text,
        "\nThe median of {} rounds, with the least and the most of files/s. CPU seconds, calls and statements are for 1,000 files.",
        measured
            .runs
            .iter()
            .map(|run| run.round)
            .max()
            .unwrap_or_default()
    )?;
    let ratios = measured.ratios();
    if ratios.is_empty() {
        return Ok(());
    }
    writeln!(text, "\n| case | ratio | median | least | most |")?;
    writeln!(text, "|---|---|--:|--:|--:|")?;
    for ratio in ratios {
        let Spread { min, median, max } = ratio.spread;
        writeln!(
            text,
            "| {} | {} | {median:.2} | {min:.2} | {max:.2} |",
            ratio.case, ratio.what
        )?;
    }
    Ok(())
}

fn row(text: &mut String, runs: &[&Run]) -> std::fmt::Result {
    let Some(first) = runs.first() else {
        return Ok(());
    };
    let median = |figure: &dyn Fn(&Run) -> Option<f64>| {
        Spread::of(runs.iter().filter_map(|run| figure(run))).map(|spread| spread.median)
    };
    let number = |figure: Option<f64>, digits: usize| {
        figure.map_or_else(|| "–".to_owned(), |figure| format!("{figure:.digits$}"))
    };
    let mib =
        |bytes: Option<u64>| bytes.map(|bytes| crate::summary::real(bytes) / f64::from(1 << 20));
    let speed = Spread::of(runs.iter().map(|run| run.files_per_s())).map_or_else(
        String::new,
        |Spread { min, median, max }| {
            let digits = usize::from(median < 100.0) + usize::from(median < 10.0);
            format!("{median:.digits$} ({min:.digits$}–{max:.digits$})")
        },
    );
    let way = match (first.way, first.connections) {
        (Way::Copying, Some(connections)) => format!("copying, {connections} connections"),
        (way, _) => way.name().to_owned(),
    };
    writeln!(
        text,
        "| {} | {way} | {} | {speed} | {} | {} | {} | {} | {} | {} | {} |",
        first.case,
        first.files,
        number(median(&|run| Some(run.mb_per_s())), 1),
        number(median(&|run| Some(run.cpu_s_per_1000())), 2),
        number(median(&|run| mib(Some(run.moved.peak_rss_bytes))), 0),
        number(median(&|run| mib(run.moved.instance_bytes)), 1),
        number(median(&|run| Some(run.per_1000(run.odoo_calls))), 1),
        number(median(&|run| Some(run.per_1000(run.storage_calls))), 1),
        number(median(&|run| Some(run.per_1000(run.moved.statements?))), 1),
    )
}
