;;; The demo's graph: a small almanac, as a manifest of packages of our own.
;;;
;;;   licence (builtin:download) ─→ words ──┬→ index ───┐
;;;   primes-1, primes-2 ─────────→ low ────┤           ├─→ almanac
;;;                                  │      └→ gaps ────┤
;;;   primes-3, primes-4 ─────────→ high ────→ manual ──┘
;;;
;;; Guix's own packages hang on a bootstrap that must be downloaded from far away. These need a static busybox and nothing else,
;;; and are packages all the same: `guix build`, `guix weather` and `guix challenge` take them like any other. Evaluate them with
;;; --no-grafts. What differs from run to run comes from the environment:
;;;
;;;   DEMO_BUSYBOX   a folder with bin/busybox and its names
;;;   DEMO_URL       where licence.txt is served; DEMO_SHA256 is its hash, in hexadecimal
;;;   DEMO_NONCE     what the almanac says in the end
;;;   DEMO_SALT      part of every build, so that none was built before
(use-modules (guix base16) (guix build-system) (guix derivations) (guix download) (guix gexp) (guix monads)
             (guix packages) (guix profiles) (guix store)
             (ice-9 match) (srfi srfi-1))

(define (setting name)
  (or (getenv name) (error "not set:" name)))

;;; A build system: a shell script, which finds its inputs in variables named like them.

(define busybox
  (local-file (setting "DEMO_BUSYBOX") "busybox" #:recursive? #t))

(define (lower-input system)
  (match-lambda
    ((label (? gexp-input? input))
     (mlet %store-monad ((thing (lower-object (gexp-input-thing input) system)))
       (return (list label thing (gexp-input-output input)))))))

;; An input's variable is called like it, or INPUT_OUTPUT for another output than the first.
(define input->variable
  (match-lambda
    ((label (? derivation? drv) output)
     (cons (variable-name (if (string=? output "out") label (string-append label "-" output)))
           (derivation->output-path drv output)))
    ((label (? string? path) _)
     (cons (variable-name label) path))))

(define (variable-name label)
  (string-map (match-lambda (#\- #\_) (char char)) label))

(define input->derivation-input
  (match-lambda
    ((_ (? derivation? drv) output) (derivation-input drv (list output)))
    (_ #f)))

(define input->source
  (match-lambda
    ((_ (? string? path) _) path)
    (_ #f)))

;; TEXTS are pairs of a variable and what adds a text to the store.
(define* (busybox-build name inputs #:key script (texts '()) (outputs '("out")) (system (%current-system))
                        #:allow-other-keys)
  (mlet* %store-monad ((busybox (lower-object busybox system))
                       (inputs (mapm %store-monad (lower-input system) inputs))
                       (files (mapm %store-monad cdr texts)))
    (let ((bin (string-append busybox "/bin")))
      (raw-derivation name (string-append bin "/sh") (list "-euc" script)
                      #:system system
                      #:outputs outputs
                      #:sources (cons busybox (append files (filter-map input->source inputs)))
                      #:inputs (filter-map input->derivation-input inputs)
                      #:env-vars `(("PATH" . ,bin)
                                   ("busybox" . ,busybox)
                                   ("salt" . ,(setting "DEMO_SALT"))
                                   ,@(map cons (map car texts) files)
                                   ,@(map input->variable inputs))))))

(define busybox-build-system
  (build-system
    (name 'busybox)
    (description "Run a shell script with busybox and the declared inputs.")
    (lower (lambda* (name #:key source inputs outputs system target #:allow-other-keys #:rest arguments)
             (bag (name name) (system system) (target target)
                  (build-inputs `(,@(if source `(("source" ,source)) '()) ,@inputs))
                  (outputs outputs)
                  (build busybox-build)
                  (arguments arguments))))))

(define* (item name script #:key source (inputs '()) (outputs '("out")) (texts '()))
  (package
    (name name)
    (version "1")
    (source source)
    (build-system busybox-build-system)
    (arguments (list #:script script #:texts texts))
    (inputs inputs)
    (outputs outputs)
    (synopsis "A part of the almanac")
    (description "A part of the almanac that Drover's demo builds.")
    (home-page "")
    (license #f)))

;;; First layer.

(define licence
  (origin
    (method url-fetch)
    (uri (string-append (setting "DEMO_URL") "/licence.txt"))
    (sha256 (base16-string->bytevector (setting "DEMO_SHA256")))))

(define (primes number)
  (let ((bounds (map number->string (list (max 2 (* 20000 (- number 1))) (* 20000 number)))))
    (item (string-append "primes-" (number->string number))
          (string-append "awk -v from=" (first bounds) " -v to=" (second bounds) " '
            BEGIN {
              for (n = from; n < to; n++) {
                prime = 1
                for (d = 2; d * d <= n && prime; d++) if (n % d == 0) prime = 0
                if (prime) print n
              }
            }' > $out"))))

(define primes-1 (primes 1))
(define primes-2 (primes 2))
(define primes-3 (primes 3))
(define primes-4 (primes 4))

;;; Second layer.

(define words
  (item "words" "
    mkdir $out $doc
    tr -cs A-Za-z '\\n' < $source | tr A-Z a-z | sort | uniq -c | sort -rn > $out/counts
    echo 'How often each word of the licence occurs.' > $doc/words.txt
    echo \"The counts are in $out.\" >> $doc/words.txt"
        #:source licence #:outputs '("out" "doc")))

(define (twins name one other)
  (item name (string-append "
    cat $" (variable-name (package-name one)) " $" (variable-name (package-name other)) " |
      awk 'last && $1 - last == 2 { print last, $1 } { last = $1 }' > $out")
        #:inputs (list one other)))

(define low (twins "low" primes-1 primes-2))
(define high (twins "high" primes-3 primes-4))

;;; Third layer.

(define index
  (item "index" "
    { head -n 5 $words/counts; head -n 3 $low; } > $out"
        #:inputs (list words low)))

(define gaps
  (item "gaps" "
    cat $low $high | awk 'last && $1 - last > widest { widest = $1 - last; at = last } { last = $1 }
      END { print \"widest gap between twins:\", widest, \"after\", at }' > $out"
        #:inputs (list low high)))

(define manual
  (item "manual" "
    mkdir $out $doc
    cat $words_doc/words.txt > $out/manual.txt
    wc -l < $high > $doc/twins.txt"
        #:inputs (list `(,words "doc") high) #:outputs '("out" "doc")))

;;; Fourth layer. A text in the store that refers to another one: what the almanac runs comes from both.

(define library
  (text-file "library.sh" "title() { echo \"== $1\"; }\n"))

(define report
  (mlet %store-monad ((library library))
    (text-file "report.sh" (string-append ". " library "\nshow() { title \"$1\"; cat \"$2\"; }\n") (list library))))

(define almanac
  (item "almanac" (string-append "
    mkdir -p $out/bin
    cat > $out/bin/almanac <<END
#!$busybox/bin/sh
PATH=$busybox/bin
. $report
show index $index
show gaps $gaps
show manual $manual/manual.txt
show twins $manual_doc/twins.txt
echo 'the almanac says " (setting "DEMO_NONCE") "'
END
    chmod +x $out/bin/almanac
    $out/bin/almanac")
        #:inputs (list index gaps manual `(,manual "doc")) #:texts `(("report" . ,report))))

(packages->manifest
 (list primes-1 primes-2 primes-3 primes-4 words low high index gaps manual almanac))
