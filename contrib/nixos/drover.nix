# A NixOS module for every process of a Drover farm.
#
#   imports = [ /path/to/drover/contrib/nixos/drover.nix ];
#   services.drover = { package = …; farm.enable = true; agents.nix = { enable = true; … }; };
#
# docs/nix.md shows a whole configuration. Secrets are named by absolute file names, in quotes: what is in the store can be read
# by everybody.
{ config, lib, pkgs, utils, ... }:

let
  inherit (lib) concatMap concatStringsSep filterAttrs mapAttrs' mkEnableOption mkIf mkMerge mkOption nameValuePair optionals types;

  cfg = config.services.drover;

  option = type: default: description: mkOption { inherit type default description; };
  strings = option (types.listOf types.str);

  # The words of an option that is repeated.
  flags = name: concatMap (value: [ name value ]);

  login = nats: user: secret: [
    "--nats-url" nats
    "--uuid" user
    "--password-file" secret
  ];

  secret = name: "${cfg.farm.directory}/secrets/${name}.password";

  # What the unit of each process has in common. Any of them may be started again at any time.
  unit = description: command: settings: {
    inherit description;
    wantedBy = [ "multi-user.target" ];
    wants = [ "network-online.target" ];
    after = [ "network-online.target" ];
    serviceConfig = {
      ExecStart = utils.escapeSystemdExecArgs command;
      Restart = "always";
      RestartSec = 2;
      NoNewPrivileges = true;
      PrivateTmp = true;
      ProtectHome = true;
      ProtectKernelTunables = true;
      ProtectControlGroups = true;
    } // settings;
  };

  # One of the farm's own: a user without rights, who sees the signing keys only where it says so.
  farmUnit = description: command: settings:
    unit "Drover's ${description}" command ({
      User = "drover";
      Group = "drover";
      ProtectSystem = "strict";
      ReadWritePaths = [ cfg.farm.directory ];
      InaccessiblePaths = map (key: "-${key}") cfg.publish.signingKeys;
    } // settings);

  program = name: "${cfg.package}/bin/${name}";

  agentOptions = { name, ... }: {
    options = {
      enable = mkEnableOption "this agent";
      natsUrl = option types.str "nats://127.0.0.1:4222" "Where the farm's broker is.";
      uuid = mkOption { type = types.str; description = "What `drover agent new` printed."; };
      passwordFile = option types.str "/etc/drover/agent-${name}.password" "What `drover agent new` wrote.";
      bucket = option types.str "file://${cfg.farm.directory}/bucket" "The farm's bucket.";
      storeDirectory = option types.str "/nix/store" "The store that the daemon manages.";
      daemonSocket = option types.str "/nix/var/nix/daemon-socket/socket" "Where the store daemon listens.";
      systems = strings [ ] "Systems to build for; this machine's, where there are none.";
      features = strings [ ] "Features that derivations may require, such as kvm.";
      maxParallelBuilds = option types.ints.positive 1 "Builds that run at once.";
      substituteUrls = strings [ ] "The farm's cache, with the store's name behind it.";
      extraSubstituteUrls = strings [ ] "Other servers, which the farm's pool `substitutes` asks as well.";
      trustedPublicKeys = strings [ ] "Keys of all these servers. Of Nix only: Guix trusts whom /etc/guix/acl names.";
      extraOptions = strings [ ] "More options of drover-agent.";
    };
  };

  # Root, as one whom the store daemon trusts.
  agentUnit = name: agent: unit "Drover's agent ${name}"
    ([ (program "drover-agent") ]
      ++ login agent.natsUrl agent.uuid agent.passwordFile
      ++ [
        "--bucket" agent.bucket
        "--state-dir" "/var/lib/drover-agent-${name}"
        "--store-dir" agent.storeDirectory
        "--daemon-socket" agent.daemonSocket
        "--max-parallel-builds" (toString agent.maxParallelBuilds)
      ]
      ++ flags "--system" agent.systems
      ++ flags "--feature" agent.features
      ++ flags "--substitute-url" agent.substituteUrls
      ++ flags "--extra-substitute-url" agent.extraSubstituteUrls
      ++ flags "--trusted-public-key" agent.trustedPublicKeys
      ++ agent.extraOptions)
    {
      StateDirectory = "drover-agent-${name}";
      StateDirectoryMode = "0700";
    };
in
{
  options.services.drover = {
    package = mkOption {
      type = types.either types.package types.str;
      description = "What has Drover's programs in its directory `bin`.";
    };

    farm = {
      enable = mkEnableOption "broker, scheduler, publish worker and substitute server on this machine";
      directory = option types.str "/var/lib/drover" "The farm's folder, as `drover up` made it.";
      natsServer = option types.package pkgs.nats-server "The broker's package: 2.12 or newer.";
      natsUrl = option types.str "nats://127.0.0.1:4222" "Where the broker is.";
      bucket = option types.str "file://${cfg.farm.directory}/bucket" "The farm's bucket.";
    };

    publish = {
      signingKeys = strings [ "${cfg.farm.directory}/signing-key" ] "Secret keys to sign with, of Nix and of Guix.";
      compression = strings [ "zstd" ] "How nars are packed. Nix's caches use the first only.";
      serveDerivations = option types.bool false "Whether the cache also has the derivations of what it has.";
      extraOptions = strings [ ] "More options of drover-hook-worker publish.";
    };

    cache = {
      listen = option types.str "127.0.0.1:8080" "Where the substitute server listens.";
      extraOptions = strings [ ] "More options of drover-cache.";
    };

    substitutes = {
      enable = mkEnableOption "the worker that asks other substitute servers";
      urls = strings [ "https://cache.nixos.org" ] "The servers.";
      trustedPublicKeys = strings [ "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=" ]
        "Whose word counts, of Nix.";
      guixPublicKeys = strings [ ] "Whose word counts, of Guix: files.";
      extraOptions = strings [ ] "More options of drover-hook-worker substitutes.";
    };

    scheduler.extraOptions = strings [ ] "More options of drover-scheduler.";

    agents = mkOption {
      type = types.attrsOf (types.submodule agentOptions);
      default = { };
      description = "Agents of this machine, by name: one for each store.";
    };
  };

  config = mkMerge [
    (mkIf cfg.farm.enable {
      users.users.drover = { isSystemUser = true; group = "drover"; home = cfg.farm.directory; };
      users.groups.drover = { };
      systemd.tmpfiles.rules = [ "d ${cfg.farm.directory} 0700 drover drover -" ];

      systemd.services = {
        drover-nats = farmUnit "message broker"
          [ "${cfg.farm.natsServer}/bin/nats-server" "--config" "${cfg.farm.directory}/nats-server.conf" ]
          { LimitNOFILE = 65536; };

        # One in a farm: of two that are restarted for ever, each would take over from the other, again and again.
        drover-scheduler = farmUnit "scheduler"
          ([ (program "drover-scheduler") ]
            ++ login cfg.farm.natsUrl "scheduler" (secret "scheduler")
            ++ [
              "--bucket" cfg.farm.bucket
              "--state-dir" "${cfg.farm.directory}/scheduler"
              "--logins" "${cfg.farm.directory}/logins"
              "--system-password-file" (secret "system")
            ]
            ++ optionals cfg.substitutes.enable [ "--ask-substitutes" ]
            ++ cfg.scheduler.extraOptions)
          { };

        drover-publish = farmUnit "publish worker"
          ([ (program "drover-hook-worker") "publish" ]
            ++ login cfg.farm.natsUrl "publish" (secret "publish")
            ++ [ "--bucket" cfg.farm.bucket ]
            ++ flags "--signing-key" cfg.publish.signingKeys
            ++ [ "--compression" (concatStringsSep "," cfg.publish.compression) ]
            ++ optionals cfg.publish.serveDerivations [ "--serve-derivations" ]
            ++ cfg.publish.extraOptions)
          {
            InaccessiblePaths = [ ];
            # A worker that is told to stop ends what it has begun.
            TimeoutStopSec = 35;
          };

        drover-cache = farmUnit "substitute server"
          ([ (program "drover-cache") "--bucket" cfg.farm.bucket "--listen" cfg.cache.listen ] ++ cfg.cache.extraOptions)
          { };
      };
    })

    (mkIf cfg.substitutes.enable {
      systemd.services.drover-substitutes = farmUnit "worker that asks other substitute servers"
        ([ (program "drover-hook-worker") "substitutes" ]
          ++ login cfg.farm.natsUrl "hook-substitutes" (secret "substitutes")
          ++ flags "--substitute-url" cfg.substitutes.urls
          ++ flags "--trusted-public-key" cfg.substitutes.trustedPublicKeys
          ++ flags "--guix-public-key" cfg.substitutes.guixPublicKeys
          ++ cfg.substitutes.extraOptions)
        { };
    })

    {
      systemd.services = mapAttrs' (name: agent: nameValuePair "drover-agent-${name}" (agentUnit name agent))
        (filterAttrs (_: agent: agent.enable) cfg.agents);
    }
  ];
}
