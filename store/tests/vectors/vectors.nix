# What the vectors in nix/ and narinfo/ were made from; README.md says how.
let
  drv = attrs: derivation ({ system = "x86_64-linux"; builder = "/bin/sh"; args = [ "-c" "echo $name > $out" ]; } // attrs);
  # Two ways to one content: they count as one input.
  fetch = url: drv { name = "fetched"; inherit url; outputHashMode = "flat"; outputHashAlgo = "sha256";
    outputHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"; };
  fixed = mode: algo: outputHash: drv { name = "fixed-${mode}-${algo}"; outputHashMode = mode; outputHashAlgo = algo; inherit outputHash; };
  base = builtins.toFile "base" "nothing is referred to\n";
  text = builtins.toFile "text" "this refers to ${base}\n";
  lib = drv { name = "lib"; outputs = [ "out" "doc" "dev" ]; args = [ "-c" "echo 1 > $out; echo 2 > $doc; echo $out > $dev" ]; };
in rec {
  coalesced = drv { name = "coalesced"; inputs = [ (fetch "http://a/") (fetch "http://b/") lib.doc lib.dev ]; inherit text; };
  escapes = drv { name = "escapes"; quoted = "a\"b\\c\nd\re\tf"; utf8 = "ä€"; empty = ""; };
  built = drv { name = "built"; args = [ "-c" "read x < ${text}; echo $x > $out; echo ${lib.dev} $out >> $out" ]; };
  flat-md5 = fixed "flat" "md5" "d41d8cd98f00b204e9800998ecf8427e";
  flat-sha1 = fixed "flat" "sha1" "da39a3ee5e6b4b0d3255bfef95601890afd80709";
  flat-sha512 = fixed "flat" "sha512" "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
  recursive-sha1 = fixed "recursive" "sha1" "da39a3ee5e6b4b0d3255bfef95601890afd80709";
  recursive-sha256 = fixed "recursive" "sha256" "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
}
