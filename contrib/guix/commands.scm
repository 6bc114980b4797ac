;;; Prints the command line of each process that example.scm would run, one a line: what the tests hold against `--help`.
;;;
;;;   guix repl -L contrib/guix contrib/guix/commands.scm

(use-modules (drover) (gnu services) (gnu system) (guix gexp) (ice-9 match) (srfi srfi-1))

(define (word->string word)
  "A WORD of a command line, without building anything: of something in the store, the name that it has there."
  (match word
    ((? string? text) text)
    ((? file-append? file) (string-concatenate (file-append-suffix file)))
    (_ "/gnu/store/…")))

(define example
  (primitive-load (search-path %load-path "example.scm")))

(for-each (lambda (service)
            (when (string-prefix? "drover-" (symbol->string (service-type-name (service-kind service))))
              (display (string-join (map word->string (drover-command (service-value service)))))
              (newline)))
          (operating-system-user-services example))
