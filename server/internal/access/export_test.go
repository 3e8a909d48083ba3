package access

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
