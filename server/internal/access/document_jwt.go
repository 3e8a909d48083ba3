package access

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// jwt reads which JWTs are accepted.
func (d *document) jwt(n node) {
	j := &jwtRules{claim: defaultClaim}
	d.rules.jwt = j
	d.members(n, map[string]func(node){
		"issuer":         func(n node) { j.issuer, _ = d.text(n) },
		"audience":       func(n node) { j.audience, _ = d.text(n) },
		"algorithms":     func(n node) { d.items(n, func(n node) { d.algorithm(n, j) }) },
		"jwks_file":      func(n node) { j.keysFile, _ = d.text(n) },
		"jwks_url":       func(n node) { j.keysURL = d.keysURL(n) },
		"consumer_claim": func(n node) { j.claim, _ = d.text(n) },
	})
	if !isMapping(n) {
		return
	}
	for _, required := range []string{"issuer", "audience", "algorithms"} {
		if !has(n, required) {
			d.refuse(n, "set %s", required)
		}
	}
	if has(n, "algorithms") && len(j.algorithms) == 0 && len(d.problems) == 0 {
		d.refuse(n, "algorithms: none listed; want those that the issuer signs with, such as RS256")
	}
	if has(n, "jwks_file") == has(n, "jwks_url") {
		d.refuse(n, "set exactly one of jwks_file and jwks_url, which have the issuer's public keys")
	}
}

// algorithm reads one that JWTs may be signed with.
func (d *document) algorithm(n node, j *jwtRules) {
	text, ok := d.text(n)
	algorithm := jose.SignatureAlgorithm(text)
	switch {
	case !ok:
	case strings.EqualFold(text, "none"):
		d.refuse(n, "none is no signature: anyone could be anyone")
	case strings.HasPrefix(text, "HS"):
		d.refuse(n, "%q is made with a shared secret, so that whoever verifies could sign too; use one with a public key, such as RS256 or ES256", text)
	case !slices.Contains(jwtAlgorithms(), algorithm):
		d.refuse(n, "%q is not an algorithm; want one of %s", text, joined(jwtAlgorithms()))
	case slices.Contains(j.algorithms, algorithm):
		d.refuse(n, "%q is listed twice", text)
	default:
		j.algorithms = append(j.algorithms, algorithm)
	}
}

func joined(algorithms []jose.SignatureAlgorithm) string {
	texts := make([]string, len(algorithms))
	for i, a := range algorithms {
		texts[i] = string(a)
	}
	return strings.Join(texts, ", ")
}

// keysURL reads where keys are fetched: whoever could change them on the way could
// make JWTs for everyone.
func (d *document) keysURL(n node) string {
	text, ok := d.text(n)
	if !ok {
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "":
		d.refuse(n, "not a URL; want one such as https://login.example.com/keys")
	case u.User != nil:
		d.refuse(n, "a URL with a user or password; public keys need none")
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()):
		return text
	default:
		d.refuse(n, "want https: others could change the keys on the way, and let themselves in; http is for this machine only")
	}
	return ""
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// subject reads what a JWT names the consumer by.
func (d *document) subject(n node, c *consumer) {
	text, ok := d.text(n)
	if ok && d.claim(n, subjectKey(text)) {
		d.rules.subjects[text] = c
	}
}

type subjectKey string
