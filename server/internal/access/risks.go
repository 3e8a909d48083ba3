package access

import "fmt"

// Risks says what is unsafe in the file that is loaded, although it can be used; a
// sentence each.
func (p *Policy) Risks() []string {
	if p.everyone {
		return nil
	}
	rules := p.rules.Load()
	var risks []string
	for _, c := range rules.consumers {
		risks = append(risks, rules.risksOf(c, p)...)
	}
	if rules.jwt != nil && len(rules.subjects) == 0 {
		risks = append(risks, "jwt is set, and no consumer has jwt_subjects: no JWT gets anybody in; remove it, or name them")
	}
	return risks
}

func (r *rules) risksOf(c *consumer, p *Policy) []string {
	var risks []string
	say := func(format string, args ...any) {
		risks = append(risks, fmt.Sprintf("consumer %q ", c.name)+fmt.Sprintf(format, args...))
	}
	if g := c.grant; g.Operate && g.AllWABAs && g.AllTypes {
		say("may operate the server and see the events of every account and type: whoever has its credential has everything; give the two to different consumers")
	}
	endless, over := 0, 0
	for _, rule := range r.tokens {
		switch {
		case rule.consumer != c:
		case rule.expireTime.IsZero():
			endless++
		case expired(rule.expireTime, p.config.Now()):
			over++
		}
	}
	if endless > 0 {
		say("has tokens without an end (%d): one that is lost gets in until its hash is removed; give them an expire_time (wabastreamd token new --valid-for 2160h)", endless)
	}
	if over > 0 {
		say("has tokens that have expired (%d); remove them", over)
	}
	return risks
}

// NamesCertificates reports whether the file that is loaded has consumers that are
// known by client certificates.
func (p *Policy) NamesCertificates() bool {
	return !p.everyone && len(p.rules.Load().certificates) > 0
}
