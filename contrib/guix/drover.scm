;;; Service types for every process of a Drover farm, for an operating system that is declared in Guix:
;;;
;;;   guix system reconfigure -L contrib/guix config.scm
;;;
;;; where config.scm says (use-modules (drover)).  docs/guix.md shows a whole one.  The field 'drover' is what has Drover's
;;; programs in its directory 'bin': a directory's name, or something that Guix puts into the store.  Secrets are always
;;; named by absolute file names: what is in the store can be read by everybody.

(define-module (drover)
  #:use-module (gnu packages admin)
  #:use-module (gnu packages high-availability)
  #:use-module (gnu services)
  #:use-module (gnu services shepherd)
  #:use-module (gnu system shadow)
  #:use-module (guix gexp)
  #:use-module (guix records)
  #:use-module (ice-9 match)
  #:use-module (srfi srfi-1)
  #:export (drover-nats-configuration
            drover-nats-service-type
            drover-scheduler-configuration
            drover-scheduler-service-type
            drover-publish-configuration
            drover-publish-service-type
            drover-substitutes-configuration
            drover-substitutes-service-type
            drover-cache-configuration
            drover-cache-service-type
            drover-agent-configuration
            drover-agent-service-type
            drover-command))


;;;
;;; Command lines.
;;;

(define (flag name value)
  "The words of an option: none where VALUE is #f, NAME alone where it is #t."
  (match value
    (#f '())
    (#t (list name))
    ((? number? n) (list name (number->string n)))
    (value (list name value))))

(define (flags name values)
  "The words of an option that is repeated."
  (append-map (lambda (value) (flag name value)) values))

(define (program drover name)
  (if (string? drover)
      (string-append drover "/bin/" name)
      (file-append drover "/bin/" name)))

(define-syntax-rule (login nats-url uuid password-file)
  (list "--nats-url" nats-url "--uuid" uuid "--password-file" password-file))


;;;
;;; What all of them have in common.
;;;

;; One object for all services: Guix takes two accounts of one name for one only if they are the same.
(define %drover-accounts
  (list (user-group (name "drover") (system? #t))
        (user-account
         (name "drover")
         (group "drover")
         (system? #t)
         (comment "Drover's own processes")
         (home-directory "/var/lib/drover")
         (shell (file-append shadow "/sbin/nologin")))))

(define (directory-activation directory user)
  "Make DIRECTORY, for USER alone."
  #~(begin
      (use-modules (guix build utils))
      (let ((owner (getpwnam #$user)))
        (mkdir-p #$directory)
        (chown #$directory (passwd:uid owner) (passwd:gid owner))
        (chmod #$directory #o700))))

(define* (process-service name documentation command
                          #:key (user "drover") (requirement '()))
  "The Shepherd service that keeps COMMAND running.  Any process of a farm may be started again at any time."
  (shepherd-service
   (documentation documentation)
   (provision (list name))
   (requirement `(user-processes networking ,@requirement))
   (start #~(make-forkexec-constructor
             (list #$@command)
             #:user #$user
             #:group #$(if (string=? user "root") "root" "drover")
             #:log-file #$(string-append "/var/log/" (symbol->string name) ".log")
             #:environment-variables
             (cons "SSL_CERT_DIR=/run/current-system/profile/etc/ssl/certs"
                   (default-environment-variables))))
   ;; A publish worker that is told to stop ends what it has begun, for half a minute.
   (stop #~(make-kill-destructor #:grace-period 35))
   (respawn-delay 2)
   (respawn-limit #f)))

(define* (farm-service-type name description shepherd-service)
  "A service type of one of the farm's own processes, whose files are below /var/lib/drover."
  (service-type
   (name name)
   (description description)
   (extensions
    (list (service-extension shepherd-root-service-type (compose list shepherd-service))
          (service-extension account-service-type (const %drover-accounts))
          (service-extension activation-service-type
                             (const (directory-activation "/var/lib/drover" "drover")))))))


;;;
;;; The broker.
;;;

(define-record-type* <drover-nats-configuration>
  drover-nats-configuration make-drover-nats-configuration
  drover-nats-configuration?
  (nats-server drover-nats-configuration-nats-server    ;file-like, 2.12 or newer
               (default nats-server))
  (config-file drover-nats-configuration-config-file    ;string
               (default "/var/lib/drover/nats-server.conf")))

(define (drover-nats-command config)
  (match-record config <drover-nats-configuration> (nats-server config-file)
    (list (file-append nats-server "/bin/nats-server") "--config" config-file)))

(define drover-nats-service-type
  (farm-service-type
   'drover-nats
   "Run the message broker of a Drover farm."
   (lambda (config)
     (process-service 'drover-nats "Drover's broker." (drover-nats-command config)))))


;;;
;;; The scheduler.
;;;

(define-record-type* <drover-scheduler-configuration>
  drover-scheduler-configuration make-drover-scheduler-configuration
  drover-scheduler-configuration?
  (drover               drover-scheduler-configuration-drover)              ;string | file-like
  (nats-url             drover-scheduler-configuration-nats-url             ;string
                        (default "nats://127.0.0.1:4222"))
  (password-file        drover-scheduler-configuration-password-file        ;string
                        (default "/var/lib/drover/secrets/scheduler.password"))
  (bucket               drover-scheduler-configuration-bucket               ;string
                        (default "file:///var/lib/drover/bucket"))
  (state-directory      drover-scheduler-configuration-state-directory      ;string
                        (default "/var/lib/drover/scheduler"))
  (logins               drover-scheduler-configuration-logins               ;string
                        (default "/var/lib/drover/logins"))
  (system-password-file drover-scheduler-configuration-system-password-file ;string
                        (default "/var/lib/drover/secrets/system.password"))
  ;; Where drover-substitutes runs.
  (ask-substitutes?     drover-scheduler-configuration-ask-substitutes?     ;boolean
                        (default #f))
  (extra-options        drover-scheduler-configuration-extra-options        ;list of strings
                        (default '())))

(define (drover-scheduler-command config)
  (match-record config <drover-scheduler-configuration>
    (drover nats-url password-file bucket state-directory logins system-password-file ask-substitutes?
     extra-options)
    `(,(program drover "drover-scheduler")
      ,@(login nats-url "scheduler" password-file)
      "--bucket" ,bucket
      "--state-dir" ,state-directory
      ,@(flag "--logins" logins)
      ,@(flag "--system-password-file" system-password-file)
      ,@(flag "--ask-substitutes" ask-substitutes?)
      ,@extra-options)))

(define drover-scheduler-service-type
  (farm-service-type
   'drover-scheduler
   "Run the scheduler of a Drover farm.  There is one in a farm."
   (lambda (config)
     (process-service 'drover-scheduler "Drover's scheduler." (drover-scheduler-command config)))))


;;;
;;; The pool that verifies, signs and publishes.
;;;

(define-record-type* <drover-publish-configuration>
  drover-publish-configuration make-drover-publish-configuration
  drover-publish-configuration?
  (drover        drover-publish-configuration-drover)        ;string | file-like
  (nats-url      drover-publish-configuration-nats-url       ;string
                 (default "nats://127.0.0.1:4222"))
  (password-file drover-publish-configuration-password-file  ;string
                 (default "/var/lib/drover/secrets/publish.password"))
  (bucket        drover-publish-configuration-bucket         ;string
                 (default "file:///var/lib/drover/bucket"))
  (signing-keys  drover-publish-configuration-signing-keys   ;list of strings
                 (default '("/var/lib/drover/signing-key" "/var/lib/drover/guix-signing-key")))
  (compression   drover-publish-configuration-compression    ;list of strings
                 (default '("zstd" "lzip")))
  ;; Whether the cache also has the derivations of what it has.
  (serve-derivations? drover-publish-configuration-serve-derivations?  ;boolean
                      (default #f))
  (extra-options drover-publish-configuration-extra-options  ;list of strings
                 (default '())))

(define (drover-publish-command config)
  (match-record config <drover-publish-configuration>
    (drover nats-url password-file bucket signing-keys compression serve-derivations? extra-options)
    `(,(program drover "drover-hook-worker") "publish"
      ,@(login nats-url "publish" password-file)
      "--bucket" ,bucket
      ,@(flags "--signing-key" signing-keys)
      "--compression" ,(string-join compression ",")
      ,@(flag "--serve-derivations" serve-derivations?)
      ,@extra-options)))

(define drover-publish-service-type
  (farm-service-type
   'drover-publish
   "Run a publish worker of a Drover farm, the only process that has the signing keys."
   (lambda (config)
     (process-service 'drover-publish "Drover's publish worker." (drover-publish-command config)))))


;;;
;;; The pool that asks other substitute servers.
;;;

(define-record-type* <drover-substitutes-configuration>
  drover-substitutes-configuration make-drover-substitutes-configuration
  drover-substitutes-configuration?
  (drover              drover-substitutes-configuration-drover)              ;string | file-like
  (nats-url            drover-substitutes-configuration-nats-url             ;string
                       (default "nats://127.0.0.1:4222"))
  (password-file       drover-substitutes-configuration-password-file        ;string
                       (default "/var/lib/drover/secrets/substitutes.password"))
  (substitute-urls     drover-substitutes-configuration-substitute-urls      ;list of strings
                       (default '("https://bordeaux.guix.gnu.org" "https://ci.guix.gnu.org")))
  ;; Whose word counts: of Guix, and of Nix.
  (guix-acl            drover-substitutes-configuration-guix-acl             ;string | #f
                       (default "/etc/guix/acl"))
  (trusted-public-keys drover-substitutes-configuration-trusted-public-keys  ;list of strings
                       (default '()))
  (extra-options       drover-substitutes-configuration-extra-options        ;list of strings
                       (default '())))

(define (drover-substitutes-command config)
  (match-record config <drover-substitutes-configuration>
    (drover nats-url password-file substitute-urls guix-acl trusted-public-keys extra-options)
    `(,(program drover "drover-hook-worker") "substitutes"
      ,@(login nats-url "hook-substitutes" password-file)
      ,@(flags "--substitute-url" substitute-urls)
      ,@(flag "--guix-acl" guix-acl)
      ,@(flags "--trusted-public-key" trusted-public-keys)
      ,@extra-options)))

(define drover-substitutes-service-type
  (farm-service-type
   'drover-substitutes
   "Run the worker of a Drover farm that asks other substitute servers what they have."
   (lambda (config)
     (process-service 'drover-substitutes "Drover's worker that asks other substitute servers."
                      (drover-substitutes-command config)))))


;;;
;;; The substitute server.
;;;

(define-record-type* <drover-cache-configuration>
  drover-cache-configuration make-drover-cache-configuration
  drover-cache-configuration?
  (drover        drover-cache-configuration-drover)         ;string | file-like
  (bucket        drover-cache-configuration-bucket          ;string
                 (default "file:///var/lib/drover/bucket"))
  (listen        drover-cache-configuration-listen          ;string
                 (default "127.0.0.1:8080"))
  (extra-options drover-cache-configuration-extra-options   ;list of strings
                 (default '())))

(define (drover-cache-command config)
  (match-record config <drover-cache-configuration> (drover bucket listen extra-options)
    `(,(program drover "drover-cache") "--bucket" ,bucket "--listen" ,listen ,@extra-options)))

(define drover-cache-service-type
  (farm-service-type
   'drover-cache
   "Run the substitute server of a Drover farm."
   (lambda (config)
     (process-service 'drover-cache "Drover's substitute server." (drover-cache-command config)))))


;;;
;;; An agent.  A machine may have several, by different names: one for each store.
;;;

(define-record-type* <drover-agent-configuration>
  drover-agent-configuration make-drover-agent-configuration
  drover-agent-configuration?
  (drover               drover-agent-configuration-drover)              ;string | file-like
  (name                 drover-agent-configuration-name                 ;symbol
                        (default 'guix))
  (nats-url             drover-agent-configuration-nats-url)            ;string
  ;; What 'drover agent new' printed, and the file that it wrote.
  (uuid                 drover-agent-configuration-uuid)                ;string
  (password-file        drover-agent-configuration-password-file        ;string
                        (default "/etc/drover/agent.password"))
  (bucket               drover-agent-configuration-bucket)              ;string
  (store-directory      drover-agent-configuration-store-directory      ;string
                        (default "/gnu/store"))
  (daemon-socket        drover-agent-configuration-daemon-socket        ;string
                        (default "/var/guix/daemon-socket/socket"))
  ;; The service that runs the store daemon.
  (daemon-requirement   drover-agent-configuration-daemon-requirement   ;list of symbols
                        (default '(guix-daemon)))
  (systems              drover-agent-configuration-systems              ;list of strings
                        (default '()))
  (features             drover-agent-configuration-features             ;list of strings
                        (default '()))
  (max-parallel-builds  drover-agent-configuration-max-parallel-builds  ;integer
                        (default 1))
  ;; The farm's cache, whose key this machine must have authorised; and others.
  (substitute-urls      drover-agent-configuration-substitute-urls)     ;list of strings
  (extra-substitute-urls drover-agent-configuration-extra-substitute-urls ;list of strings
                         (default '()))
  ;; Of Nix only: Guix trusts whom its access control list names.
  (trusted-public-keys  drover-agent-configuration-trusted-public-keys  ;list of strings
                        (default '()))
  (extra-options        drover-agent-configuration-extra-options        ;list of strings
                        (default '())))

(define (agent-state-directory config)
  (string-append "/var/lib/drover-agent-" (symbol->string (drover-agent-configuration-name config))))

(define (drover-agent-command config)
  (match-record config <drover-agent-configuration>
    (drover name nats-url uuid password-file bucket store-directory daemon-socket systems features
     max-parallel-builds substitute-urls extra-substitute-urls trusted-public-keys extra-options)
    `(,(program drover "drover-agent")
      ,@(login nats-url uuid password-file)
      "--bucket" ,bucket
      "--state-dir" ,(agent-state-directory config)
      "--store-dir" ,store-directory
      "--daemon-socket" ,daemon-socket
      ,@(flags "--system" systems)
      ,@(flags "--feature" features)
      ,@(flag "--max-parallel-builds" max-parallel-builds)
      ,@(flags "--substitute-url" substitute-urls)
      ,@(flags "--extra-substitute-url" extra-substitute-urls)
      ,@(flags "--trusted-public-key" trusted-public-keys)
      ,@extra-options)))

;; Root, as one whom the store daemon trusts.
(define drover-agent-service-type
  (service-type
   (name 'drover-agent)
   (description "Run an agent of a Drover farm beside the store daemon of this machine.")
   (extensions
    (list (service-extension
           shepherd-root-service-type
           (lambda (config)
             (list (process-service (symbol-append 'drover-agent- (drover-agent-configuration-name config))
                                    "Drover's agent."
                                    (drover-agent-command config)
                                    #:user "root"
                                    #:requirement (drover-agent-configuration-daemon-requirement config)))))
          (service-extension
           activation-service-type
           (lambda (config)
             (directory-activation (agent-state-directory config) "root")))))))


(define (drover-command config)
  "The command line that CONFIG, the value of any of these services, amounts to: what the tests look at."
  (match config
    ((? drover-nats-configuration?) (drover-nats-command config))
    ((? drover-scheduler-configuration?) (drover-scheduler-command config))
    ((? drover-publish-configuration?) (drover-publish-command config))
    ((? drover-substitutes-configuration?) (drover-substitutes-command config))
    ((? drover-cache-configuration?) (drover-cache-command config))
    ((? drover-agent-configuration?) (drover-agent-command config))))
