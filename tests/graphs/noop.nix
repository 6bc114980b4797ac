# Derivations that cost nothing, to measure what everything around them costs: `layers` layers of `width`, each needing
# three of the layer before. A builder is one shell that writes one line.
{ salt, layers ? 10, width ? 30 }:
let
  pick = list: n: builtins.elemAt list (n - (n / width) * width);
  make = layer: below: n: derivation {
    name = "noop-${toString layer}-${toString n}";
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ "-c" "echo ${toString layer} ${toString n} ${salt} > $out" ];
    needs = if below == [ ] then [ ] else map (step: pick below (n + step)) [ 0 7 13 ];
  };
  upTo = layer:
    let below = if layer == 0 then [ ] else upTo (layer - 1);
    in builtins.genList (make layer below) width;
in upTo (layers - 1)
