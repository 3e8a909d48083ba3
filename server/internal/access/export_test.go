package access

import (
	"crypto/sha256"
	"time"
)

// Judge says why an access file does not let in who has a token.
func Judge(file, token string) error {
	rules, err := readRules([]byte(file))
	if err != nil {
		return err
	}
	_, _, err = rules.judge(tokenCredential(sha256.Sum256([]byte(token))), time.Now())
	return err
}

// CountKeys returns how many keys of a set are of use.
func CountKeys(text string) (int, error) {
	set, err := parseKeys([]byte(text))
	return len(set), err
}

// Tracked returns how many sessions the policy knows.
func (p *Policy) Tracked() int {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	return len(p.tracker.sessions)
}

// Pending returns how many of them have an end that is waited for.
func (p *Policy) Pending() int {
	p.tracker.mu.Lock()
	defer p.tracker.mu.Unlock()
	return len(p.tracker.ends)
}

// JudgeAll does what follows a change of the file.
func (p *Policy) JudgeAll() {
	due, _ := p.tracker.due(p.config.Now(), true)
	for _, s := range due {
		p.judge(s)
	}
}
