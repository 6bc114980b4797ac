//! The benchmark of the farm, small: that everything is built, published and settled. How long it takes says nothing here.

use drover_tests::program;

#[test]
fn everything_that_simulated_agents_build_is_published_and_settled() {
    let small = ["--agents", "20", "--slots", "2", "--processes", "2", "--graph", "200", "rate"];
    let output = std::process::Command::new(program("bench_farm")).args(small).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if !said.contains("result farm_rate") && output.status.success() {
        return eprintln!("{}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("checked: 200 builds succeeded, 200 items available, "), "{said}");
}
