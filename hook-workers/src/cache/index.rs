//! The page for people who look at a cache with a browser.

use std::fmt::Write as _;

use drover_store::PublicKey;

/// The page, made once.
pub fn page(keys: &[PublicKey]) -> String {
    let mut page = String::from(HEAD);
    // Writing to a string cannot fail. A key is letters, digits and a few signs that mean nothing in HTML, but for its
    // name, which may be anything.
    for key in keys {
        let _ = writeln!(page, "<pre>{}</pre>", escape(&key.to_string()));
    }
    if keys.is_empty() {
        page.push_str(
            "<p>The keys are at <code>/nix-store/signing-key.pub</code> and <code>/gnu-store/signing-key.pub</code>.</p>\n",
        );
    }
    page.push_str(TAIL);
    page
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

const HEAD: &str = "<!doctype html>
<html lang=\"en\">
<meta charset=\"utf-8\">
<meta name=\"viewport\" content=\"width=device-width\">
<title>Drover cache</title>
<style>body { font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 3rem auto; padding: 0 1rem }
pre { background: #f2f2f2; color: #111; padding: .6rem; overflow-x: auto }</style>
<h1>Drover cache</h1>
<p>This server gives out software that was built by a <b>Drover</b> build farm: ready to use, so that you need not
build it yourself. It is read by programs (Nix and Guix); there is nothing more for people to see here.</p>
<p>Every item is signed. Let your machine accept only what bears this farm's signature:</p>
";

const TAIL: &str = "<p>With Nix, put two lines into <code>nix.conf</code>, with this server's address and the key above:</p>
<pre>extra-substituters = http://THIS-SERVER/nix-store
extra-trusted-public-keys = THE-KEY</pre>
<p>With Guix, authorise the key once, as root, and name this server when something is to be fetched:</p>
<pre>wget -qO- http://THIS-SERVER<a href=\"/signing-key.pub\">/signing-key.pub</a> | guix archive --authorize
guix build --substitute-urls='http://THIS-SERVER/gnu-store https://bordeaux.guix.gnu.org' PACKAGE</pre>
<p>The last part of the address is the store directory: <code>nix-store</code> for <code>/nix/store</code>,
<code>gnu-store</code> for <code>/gnu/store</code>. What a build said is at <code>/gnu-store/log/</code> and the last part of
the path of its derivation, or of what it made; <code>/nix-store/log/</code> likewise.</p>
</html>
";

#[cfg(test)]
mod tests {
    use super::*;
    use drover_store::SecretKey;

    #[test]
    fn the_page_shows_the_keys_and_no_markup_in_them() {
        let key = SecretKey::generate("<b>farm-1").unwrap().public();
        let page = page(&[key]);
        assert!(page.contains("<pre>&lt;b&gt;farm-1:"), "{page}");
    }
}
