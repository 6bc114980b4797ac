# The command lines of all that drover.nix runs, for a machine that runs all of it: what the tests hold against `--help`.
#
#   nix-instantiate --eval --strict --json contrib/nixos/commands.nix
#
# It wants no nixpkgs: `lib` is a stand-in that knows as much as drover.nix uses.
let
  lib = rec {
    inherit (builtins) concatMap concatStringsSep;
    optionals = condition: list: if condition then list else [ ];
    nameValuePair = name: value: { inherit name value; };
    mapAttrs' = f: set: builtins.listToAttrs (map (name: f name set.${name}) (builtins.attrNames set));
    filterAttrs = keep: set: removeAttrs set (builtins.filter (name: !keep name set.${name}) (builtins.attrNames set));

    mkIf = condition: content: if condition then content else { };
    mkMerge = builtins.foldl' merge { };
    merge = a: b:
      if builtins.isAttrs a && builtins.isAttrs b
      then a // builtins.mapAttrs (name: value: if a ? ${name} then merge a.${name} value else value) b
      else b;

    mkOption = option: option // { isOption = true; };
    mkEnableOption = _: mkOption { type = types.bool; default = false; };
    types = {
      bool = { }; str = { }; package = { };
      ints.positive = { };
      either = _: _: { };
      listOf = _: { };
      submodule = module: { inherit module; };
      attrsOf = type: { each = type.module; };
    };
  };

  # What the options amount to: what was set, and defaults.
  values = options: set:
    if !(options.isOption or false) then
      builtins.mapAttrs (name: option: values option (set.${name} or { })) options
    else if options.type ? each then
      builtins.mapAttrs (name: value: values (options.type.each { inherit name; }).options value) set
    else if set != { } then set
    else options.default or (throw "an option without a default is not set");

  module = import ./drover.nix {
    inherit lib;
    config.services.drover = values module.options.services.drover {
      package = "/opt/drover";
      farm.enable = true;
      publish.signingKeys = [ "/var/lib/drover/signing-key" "/var/lib/drover/guix-signing-key" ];
      publish.serveDerivations = true;
      substitutes.enable = true;
      substitutes.guixPublicKeys = [ "/etc/drover/bordeaux.pub" ];
      agents.nix = {
        enable = true;
        uuid = "00000000-0000-0000-0000-000000000000";
        systems = [ "x86_64-linux" ];
        features = [ "kvm" ];
        substituteUrls = [ "http://127.0.0.1:8080/nix-store" ];
        extraSubstituteUrls = [ "https://cache.nixos.org" ];
        trustedPublicKeys = [ "drover-farm:…" ];
      };
      agents.unused = { };
    };
    pkgs.nats-server = "/nats";
    utils.escapeSystemdExecArgs = builtins.concatStringsSep " ";
  };
in
map (name: module.config.systemd.services.${name}.serviceConfig.ExecStart) (builtins.attrNames module.config.systemd.services)
