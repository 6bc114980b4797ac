;;; A machine with Guix System that carries a whole farm and builds for it.  Only the services are Drover's business:
;;;
;;;   guix system build -L contrib/guix contrib/guix/example.scm
;;;
;;; Before the first reconfiguration: `drover up --dir /var/lib/drover --no-agents --port 4222 --cache-port 8080` as the user
;;; drover has made logins and keys, and `drover agent new` the agent's login.  docs/guix.md has it step by step.

(use-modules (gnu) (drover))
(use-service-modules base networking)

;; A directory with Drover's programs in its 'bin'.
(define drover "/opt/drover")

(operating-system
  (host-name "farm")
  (timezone "Etc/UTC")
  (bootloader (bootloader-configuration
               (bootloader grub-bootloader)
               (targets '("/dev/sda"))))
  (file-systems (cons (file-system
                        (device (file-system-label "root"))
                        (mount-point "/")
                        (type "ext4"))
                      %base-file-systems))
  (services
   (append
    (list (service dhcpcd-service-type)
          (service drover-nats-service-type (drover-nats-configuration))
          (service drover-scheduler-service-type
                   (drover-scheduler-configuration
                    (drover drover)
                    (ask-substitutes? #t)))
          (service drover-publish-service-type
                   (drover-publish-configuration (drover drover)))
          (service drover-substitutes-service-type
                   (drover-substitutes-configuration (drover drover)))
          (service drover-cache-service-type
                   (drover-cache-configuration
                    (drover drover)
                    (listen "0.0.0.0:8080")))
          (service drover-agent-service-type
                   (drover-agent-configuration
                    (drover drover)
                    (nats-url "nats://127.0.0.1:4222")
                    (uuid "00000000-0000-0000-0000-000000000000") ;what 'drover agent new' printed
                    (bucket "file:///var/lib/drover/bucket")
                    (max-parallel-builds 4)
                    (substitute-urls '("http://127.0.0.1:8080/gnu-store"))
                    (extra-substitute-urls '("https://bordeaux.guix.gnu.org" "https://ci.guix.gnu.org")))))
    (modify-services %base-services
      ;; In place of this: (local-file "guix-cache-key.pub"), a copy of the farm's public key.
      (guix-service-type
       config => (guix-configuration
                  (inherit config)
                  (authorized-keys
                   (append (list (plain-file "drover.pub" "(public-key (ecc (curve Ed25519) (q #00#)))"))
                           (guix-configuration-authorized-keys config)))))))))
