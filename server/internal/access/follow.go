package access

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	// minKeyBytes is what HMAC-SHA-256 makes full use of.
	minKeyBytes = 32
	// looseFile are the rights that the access file should not give: writing, to
	// anyone but its owner. looseKey are those of the key: any to everyone.
	looseFile = 0o022
	looseKey  = 0o027
)

// followed is what is known of the files' contents.
type followed struct {
	access  string // identity of the access file that is loaded
	inUse   string // of all files that are loaded
	seen    string // of those at the last look
	refused string // of those that were refused last; empty if none since the last load
}

// load reads the files for the first time.
func (p *Policy) load() error {
	found := p.readFiles()
	fresh, err := p.makeRules(found)
	if err != nil {
		return p.fileError(err)
	}
	if fresh.personalData.isSet() {
		if p.pseudonymKey, err = p.readKey(fresh.personalData); err != nil {
			return p.fileError(err)
		}
		p.keyPlace = fresh.personalData
	}
	p.file.seen = found.identity()
	p.use(fresh, found)
	return nil
}

func (p *Policy) fileError(err error) error {
	return fmt.Errorf("access file %q: %w", p.config.File, err)
}

// followFile looks at the files until the context ends.
func (p *Policy) followFile(ctx context.Context) {
	looks := time.NewTicker(p.config.Interval)
	defer looks.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-looks.C:
			p.look()
		}
	}
}

func (p *Policy) look() {
	files := p.readFiles()
	found := files.identity()
	settled := found == p.file.seen
	p.file.seen = found
	if found == p.file.inUse {
		p.file.refused = ""
		return
	}
	if !settled || found == p.file.refused {
		return
	}
	fresh, err := p.makeRules(files)
	if err == nil {
		err = p.checkKeyPlace(fresh)
	}
	if err != nil {
		p.file.refused = found
		p.metrics.refused()
		p.config.Logger.Error("new access file refused; what was loaded before stays in use", "error", p.fileError(err))
		return
	}
	p.use(fresh, files)
}

// checkKeyPlace errs if the key that was read at the start will not do.
func (p *Policy) checkKeyPlace(fresh *rules) error {
	if fresh.personalData.isSet() && fresh.personalData != p.keyPlace {
		return errors.New("personal_data_key_file, personal_data_key_env: the key is read at the start only, as everyone would get another pseudonym; restart the server to change it")
	}
	return nil
}

// use has everyone judged by the rules from now on.
func (p *Policy) use(fresh *rules, f files) {
	p.rules.Store(fresh)
	p.file.access, p.file.inUse, p.file.refused = f.access.identity(), f.identity(), ""
	p.changed()
	select {
	case p.newRules <- struct{}{}:
	default:
	}
	p.metrics.loaded(p.config.Now())
	p.config.Logger.Info("access file loaded", "file", p.config.File, "consumers", len(fresh.consumers),
		"tokens", len(fresh.tokens), "certificates", len(fresh.certificates), "jwt_subjects", len(fresh.subjects))
	if f.access.mode&looseFile != 0 {
		p.config.Logger.Warn("others on this machine may write to the access file and let themselves in; chmod 600 it", "file", p.config.File, "mode", f.access.mode.String())
	}
}

// changed has all sessions judged again.
func (p *Policy) changed() {
	p.generation.Add(1)
	p.tracker.wakeUp()
}

// readKey reads the key of pseudonyms. Its errors never repeat what they were given:
// people paste the key itself where its name belongs.
func (p *Policy) readKey(place keyPlace) ([]byte, error) {
	if place.env != "" {
		key := os.Getenv(place.env)
		if len(key) < minKeyBytes {
			return nil, fmt.Errorf("personal_data_key_env: the environment variable it names has %d bytes; want at least %d, for instance of openssl rand -base64 32", len(key), minKeyBytes)
		}
		return []byte(key), nil
	}
	found, err := readContents(place.file)
	if err != nil {
		return nil, fmt.Errorf("personal_data_key_file: the file it names: %w", err)
	}
	key := strings.TrimRight(string(found.data), "\r\n")
	if len(key) < minKeyBytes {
		return nil, fmt.Errorf("personal_data_key_file: the file it names has %d bytes; want at least %d, for instance of openssl rand -base64 32", len(key), minKeyBytes)
	}
	if found.mode&looseKey != 0 {
		p.config.Logger.Warn("others on this machine may read or replace the key of pseudonyms; chmod 600 it", "mode", found.mode.String())
	}
	return []byte(key), nil
}
