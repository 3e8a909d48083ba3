package access

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

const (
	// maxTextBytes is the log's bound for ids and types.
	maxTextBytes = 256
	// typePathPattern is the contract's rule for types.
	typePathPattern = `^[a-z0-9_]{1,64}(\.[a-z0-9_]{1,64})*$`
	consumerPattern = `^[a-z0-9][a-z0-9._-]{0,63}$`
	// everything is the one item of a list that stands for all there is.
	everything = "*"
)

// document reads an access file into rules.
type document struct {
	reader
	rules     *rules
	places    map[any]string // of credentials and names, to say where one is already
	typePath  *regexp.Regexp
	anyHashed bool
}

// readRules reads an access file, of which every problem is told. The keys of JWTs
// are still to be set.
func readRules(data []byte) (*rules, error) {
	root, err := parse(data)
	if err != nil {
		return nil, err
	}
	d := &document{
		rules: &rules{
			tokens:       make(map[tokenCredential]tokenRule),
			certificates: make(map[certificateName]*consumer),
			subjects:     make(map[string]*consumer),
		},
		places:   make(map[any]string),
		typePath: regexp.MustCompile(typePathPattern),
	}
	d.read(root)
	if err := d.err(); err != nil {
		return nil, err
	}
	return d.rules, nil
}

func (d *document) read(root node) {
	key := &d.rules.personalData
	d.members(root, map[string]func(node){
		"personal_data_key_file": func(n node) { key.file, _ = d.text(n) },
		"personal_data_key_env":  func(n node) { key.env, _ = d.text(n) },
		"jwt":                    d.jwt,
		"consumers":              func(n node) { d.items(n, d.consumer) },
	})
	if key.file != "" && key.env != "" {
		d.refuse(root, "set one of personal_data_key_file and personal_data_key_env, not both")
	}
	if len(d.rules.consumers) == 0 && len(d.problems) == 0 {
		d.refuse(root, "no consumers; list at least one, or nobody could get in")
	}
	if len(d.rules.subjects) > 0 && d.rules.jwt == nil {
		d.refuse(root, "jwt_subjects need jwt, which says whose JWTs are accepted")
	}
	if d.anyHashed && !key.isSet() {
		d.refuse(root, "personal_data: hashed needs a key; set personal_data_key_file or personal_data_key_env")
	}
}

// consumer reads one. What is not mentioned is withheld.
func (d *document) consumer(n node) {
	c := &consumer{}
	g := &c.grant
	named := !isMapping(n) // what is no consumer was refused as such
	d.members(n, map[string]func(node){
		"name":          func(n node) { named = true; c.name = d.consumerName(n) },
		"tokens":        func(n node) { d.items(n, func(n node) { d.token(n, c) }) },
		"certificates":  func(n node) { d.items(n, func(n node) { d.certificate(n, c) }) },
		"jwt_subjects":  func(n node) { d.items(n, func(n node) { d.subject(n, c) }) },
		"waba_ids":      func(n node) { g.AllWABAs, g.WABAIDs = d.scope(n, checkWABAID) },
		"types":         func(n node) { g.AllTypes, g.Types = d.scope(n, d.checkType) },
		"unattributed":  func(n node) { g.Unattributed = d.flag(n) },
		"raw_json":      func(n node) { g.RawJSON = d.flag(n) },
		"personal_data": func(n node) { g.PersonalData = d.personalData(n) },
		"max_streams":   func(n node) { g.MaxStreams = d.count(n) },
		"operate":       func(n node) { g.Operate = d.flag(n) },
		"metrics":       func(n node) { g.Metrics = d.flag(n) },
	})
	if !named {
		d.refuse(n, "give the consumer a name")
	}
	if g.RawJSON && g.PersonalData != PersonalDataFull {
		d.refuse(n, "raw_json shows callbacks as they were received, people included; set personal_data: full too, or leave raw_json out")
	}
	d.anyHashed = d.anyHashed || g.PersonalData == PersonalDataHashed
	c.seal()
	d.rules.consumers = append(d.rules.consumers, c)
}

func (d *document) consumerName(n node) string {
	name, ok := d.text(n)
	if !ok {
		return ""
	}
	if err := CheckName(name); err != nil {
		d.refuse(n, "%w", err)
		return ""
	}
	d.claim(n, consumerKey(name))
	return name
}

// CheckName says what is wrong with the name of a consumer; nil is nothing.
func CheckName(name string) error {
	if !regexp.MustCompile(consumerPattern).MatchString(name) {
		return fmt.Errorf("%q is not a name; want up to 64 of a-z, 0-9, '.', '_' and '-', the first a letter or digit", name)
	}
	return nil
}

type consumerKey string

// claim says that what key stands for is at a place, and refuses a second one.
func (d *document) claim(n node, key any) bool {
	if place, taken := d.places[key]; taken {
		d.refuse(n, "the same as %s", place)
		return false
	}
	d.places[key] = n.place
	return true
}

// token reads a hash, or a mapping of one and its end.
func (d *document) token(n node, c *consumer) {
	rule := tokenRule{consumer: c}
	hash := n
	if isMapping(n) {
		hash = node{}
		d.members(n, map[string]func(node){
			"hash":        func(n node) { hash = n },
			"expire_time": func(n node) { rule.expireTime = d.time(n) },
		})
		if hash.Node == nil {
			d.refuse(n, "no hash of a token")
			return
		}
	}
	text, ok := d.text(hash)
	if !ok {
		return
	}
	credential, err := hashOf(text)
	if err != nil {
		d.refuse(hash, "%w", err)
		return
	}
	if d.claim(hash, credential) {
		d.rules.tokens[credential] = rule
	}
}

// certificate reads a name of a client certificate.
func (d *document) certificate(n node, c *consumer) {
	text, ok := d.text(n)
	if !ok {
		return
	}
	name := certificateNameOf(text)
	switch {
	case name.name == "":
		d.refuse(n, "%s names nobody", text)
	case name.kind == nameDNS && strings.ContainsAny(name.name, "*/ "):
		d.refuse(n, "%q is not a name that certificates have: want a URI such as spiffe://example/billing, a DNS name without wildcards, or a common name as CN=billing", text)
	case d.claim(n, name):
		d.rules.certificates[name] = c
	}
}

// scope reads what is granted: some, or everything if that is the only item.
func (d *document) scope(n node, check func(string) error) (all bool, some []string) {
	seen := make(map[string]bool)
	d.items(n, func(n node) {
		text, ok := d.text(n)
		if !ok {
			return
		}
		if text == everything {
			all = true
			return
		}
		switch err := check(text); {
		case err != nil:
			d.refuse(n, "%q: %w", text, err)
		case seen[text]:
			d.refuse(n, "%q is listed twice", text)
		default:
			some = append(some, text)
		}
		seen[text] = true
	})
	if all && len(some) > 0 {
		d.refuse(n, `"*" stands for all; list it alone, or leave it out`)
	}
	return all, some
}

func checkWABAID(text string) error {
	if strings.ContainsAny(text, "* \t") {
		return errors.New("not an id; want one as callbacks have it, or \"*\" for every account")
	}
	return nil
}

func (d *document) checkType(text string) error {
	if !d.typePath.MatchString(text) {
		return errors.New("not a type path; want lower-case parts of a-z, 0-9 and _ joined by dots, such as account_update.disabled_update, or \"*\" for every type")
	}
	return nil
}

func (d *document) personalData(n node) PersonalData {
	switch n.Value {
	case "none":
		return PersonalDataNone
	case "hashed":
		return PersonalDataHashed
	case "full":
		return PersonalDataFull
	default:
		d.refuse(n, "want none, hashed or full")
		return PersonalDataNone
	}
}
