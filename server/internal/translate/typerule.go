package translate

// maxTypePart bounds each part of a type. The longest type, of a preference with
// an event, has four parts of which the first is "user_preferences": it stays
// within MaxTextBytes.
const maxTypePart = 64

// typeUnrecognized is the type of a body that the rule finds nothing in.
const typeUnrecognized = "unrecognized"

// typeOf is the contract's rule: the field, what happened, and what the payload
// adds. Parts that are not strings are left out.
func (c *callback) typeOf(suffix ...value) string {
	if c.field == "" {
		return typeWithoutField(c.root)
	}
	path := appendTypePart(make([]byte, 0, MaxTextBytes), c.field)
	path = appendStringPart(path, c.happened())
	for _, v := range suffix {
		path = appendStringPart(path, v)
	}
	return string(path)
}

func appendStringPart(path []byte, v value) []byte {
	if v.kind() != kindString || v.content() == "" {
		return path
	}
	return appendTypePart(append(path, '.'), v.text())
}

// happened is the member that says what happened. One that is there but not a
// string still counts: the other is not a second guess.
func (c *callback) happened() value {
	if event := c.value.member("event"); event.present() {
		return event
	}
	return c.value.member("decision")
}

// typeWithoutField names the message traffic that arrives on the same URL.
func typeWithoutField(root value) string {
	for _, name := range []string{"messages", "statuses", "calls"} {
		if root.member(name).present() {
			return name
		}
	}
	return typeUnrecognized
}

// appendTypePart makes a text fit for a type: lower case, one '_' for every run
// of what is outside a-z, 0-9 and '_', at most maxTypePart bytes.
func appendTypePart(path []byte, text string) []byte {
	end, inRun := len(path)+maxTypePart, false
	for i := 0; i < len(text) && len(path) < end; i++ {
		c := text[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		inside := 'a' <= c && c <= 'z' || isDigit(c) || c == '_'
		switch {
		case inside:
			path = append(path, c)
		case !inRun:
			path = append(path, '_')
		}
		inRun = !inside
	}
	return path
}
