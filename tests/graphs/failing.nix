# A build that fails, one that needs it, one that needs that, and one that stands aside.
{ salt }:
let
  run = name: inputs: script: derivation {
    inherit name salt inputs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-c" script ];
  };
  bad = run "bad" [ ] "echo before it broke; exit 3";
  middle = run "middle" [ bad ] "echo > $out";
  aside = run "aside" [ ] "echo > $out";
in
run "top" [ middle aside ] "echo > $out"
