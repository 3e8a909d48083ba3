package apidoc

import (
	"bytes"
	"encoding/json"
	"fmt"
)

// members are those of a JSON object, in its order.
type members[V any] []member[V]

type member[V any] struct {
	Name  string
	Value V
}

// UnmarshalJSON implements json.Unmarshaler.
func (m *members[V]) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	if open, err := d.Token(); err != nil {
		return err
	} else if open != json.Delim('{') {
		return fmt.Errorf("%.40q is not an object", text)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return err
		}
		each := member[V]{Name: fmt.Sprint(name)}
		if err := d.Decode(&each.Value); err != nil {
			return fmt.Errorf("%s: %w", each.Name, err)
		}
		*m = append(*m, each)
	}
	return nil
}

// MarshalJSON implements json.Marshaler.
func (m members[V]) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, each := range m {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(each.Name)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(each.Value)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", each.Name, err)
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// get returns the value of the name; false if there is none.
func (m members[V]) get(name string) (value V, ok bool) {
	for _, each := range m {
		if each.Name == name {
			return each.Value, true
		}
	}
	return value, false
}

// join adds the paths of one document to those of another.
func join(document, more []byte) ([]byte, error) {
	type paths = members[json.RawMessage]
	var whole members[json.RawMessage]
	var added struct{ Paths paths }
	if err := json.Unmarshal(document, &whole); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(more, &added); err != nil {
		return nil, err
	}
	for i := range whole {
		if whole[i].Name != "paths" {
			continue
		}
		var all paths
		if err := json.Unmarshal(whole[i].Value, &all); err != nil {
			return nil, err
		}
		for _, each := range added.Paths {
			if _, there := all.get(each.Name); there {
				return nil, fmt.Errorf("%s is in both parts", each.Name)
			}
		}
		text, err := json.Marshal(append(all, added.Paths...))
		if err != nil {
			return nil, err
		}
		whole[i].Value = text
	}
	return json.Marshal(whole)
}
