# Two builds from one source that take so long that two agents share them, and one that needs both: whoever has it must
# fetch what the other has made.
{ salt }:
let
  run = name: attributes: script: derivation ({
    inherit name salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    PATH = "/usr/bin:/bin";
    args = [ "-c" script ];
  } // attributes);
  half = name: run name { source = ./words.txt; } ''sleep 1; read words < $source; echo "$words, $name" > $out'';
  left = half "left";
  right = half "right";
in
run "both" { inherit left right; } ''
  mkdir $out
  cat $left $right > $out/words
  ln -s $left $out/left
''
