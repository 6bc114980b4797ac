# Layers of builders that sleep, each of which needs two of the layer before; a last one joins them. At its start each
# leaves a file in the folder `starts`, which the sandbox lets in.
{ salt, starts, layers ? "5", width ? "4", seconds ? "0.3" }:
let
  height = builtins.fromJSON layers;
  breadth = builtins.fromJSON width;
  step = name: inputs: derivation {
    inherit name salt starts seconds inputs;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-c" ''mktemp "$starts/$name.XXXXXX"; sleep $seconds; echo $inputs > $out'' ];
  };
  next = n: if n + 1 == breadth then 0 else n + 1;
  layer = depth: builtins.genList (n: step "step-${toString depth}-${toString n}" (inputs depth n)) breadth;
  inputs = depth: n: if depth == 0 then [ ] else map (builtins.elemAt (builtins.elemAt grid (depth - 1))) [ n (next n) ];
  grid = builtins.genList layer height;
in
step "last" (builtins.elemAt grid (height - 1))
