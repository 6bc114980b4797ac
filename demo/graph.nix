# The demo's graph: real software from its real source archives, with no nixpkgs.
#
#   sed ──→ hello ──┐            hello's archive is a derivation of its own (fixed output, fetched over HTTP); the other
#   zlib ─→ libpng ─┼─→ bundle   archives are path sources. The bundle needs the ends of three chains, so that two agents
#   lua ────────────┘            that share the work have to hand outputs to each other.
#
# The compiler is the host's (builder.sh says how), so this is not hermetic.
{
  # The absolute path of what demo/sources wrote: archives, and index.nix with name → { version, file, sha256 }.
  folder ? toString ../.cache/sources,
  # Where hello's archive is served, without the file's name.
  url ? "http://127.0.0.1:8000",
  # Part of every derivation: a fresh salt makes every build a fresh one.
  salt ? "",
  # What the bundle's `demo` says: proof that what runs in the end was built just now.
  nonce ? "0",
}:
let
  sources = import (/. + "${folder}/index.nix");

  # A path source: the archive enters the store by its content, which Nix checks against the hash.
  archive = name: builtins.path {
    inherit (sources.${name}) sha256;
    name = sources.${name}.file;
    path = /. + "${folder}/${sources.${name}.file}";
    recursive = false;
  };

  # A fixed output: whoever builds it fetches the archive, and only this hash will do. The sandbox cuts every other build off
  # the network, but leaves a fixed output in the host's network namespace, so that 127.0.0.1 is the host: a daemon in a network
  # namespace of its own (a container, say) would not find the server there.
  fetch = name: derivation {
    name = sources.${name}.file;
    system = "builtin";
    builder = "builtin:fetchurl";
    url = "${url}/${sources.${name}.file}";
    outputHashMode = "flat";
    outputHashAlgo = "sha256";
    outputHash = sources.${name}.sha256;
    preferLocalBuild = true;
    # builtin:fetchurl reads these two.
    executable = false;
    unpack = false;
  };

  build = { name, src ? "", deps ? [ ], script }: derivation {
    inherit name src deps script salt;
    system = builtins.currentSystem;
    builder = "/bin/sh";
    args = [ ./builder.sh ];
  };

  named = name: "${name}-${sources.${name}.version}";

  # The packages of GNU and libpng: shared libraries at most, and nothing that takes time and that nobody looks at.
  autoconf = name: src: deps: build {
    inherit src deps;
    name = named name;
    script = ''
      ./configure --quiet --prefix=$out --disable-nls --disable-dependency-tracking --disable-static
      make
      make install
    '';
  };
in
rec {
  zlib = build {
    name = named "zlib";
    src = archive "zlib";
    script = ''
      ./configure --prefix=$out
      make
      make install
    '';
  };

  libpng = autoconf "libpng" (archive "libpng") [ zlib ];

  sed = autoconf "sed" (archive "sed") [ ];

  hello = autoconf "hello" (fetch "hello") [ sed ];

  lua = build {
    name = named "lua";
    src = archive "lua";
    script = ''
      make posix CC="gcc $CFLAGS"
      make install INSTALL_TOP=$out
    '';
  };

  # Joins the chains and runs every one of them, at build time here and later from whatever store holds it.
  bundle = build {
    name = "drover-demo";
    deps = [ hello sed lua libpng zlib ];
    script = ''
      mkdir -p $out/bin $out/share
      gcc $CFLAGS $CPPFLAGS ${./png-version.c} -o $out/bin/png-version $LDFLAGS -lpng -lz -lm
      ln -s ${./png-version.c} $out/share/png-version.c # an output may refer to a source, which must then be there too

      cat > $out/bin/demo <<END
      #!/bin/sh
      ${hello}/bin/hello --greeting='hello says ${nonce}'
      echo 'sad works' | ${sed}/bin/sed 's/sad/sed/'
      ${lua}/bin/lua -e 'print(_VERSION .. " works")'
      $out/bin/png-version
      END
      chmod +x $out/bin/demo

      $out/bin/demo
    '';
  };
}
