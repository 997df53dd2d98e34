// Package store saves what the hub must remember over a restart: users, sessions, tokens, OAuth codes and what systemd
// does not know of a server. It is one SQLite file that several processes may hold open at the same time, as during a
// reload. It must never store a token or code itself, only its hash, and never overwrite a file that it cannot read.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // registers the "sqlite" driver
)

// ErrNotFound says that the row does not exist or has expired.
var ErrNotFound = errors.New("not found in the hub's database")

// Config says where the database is.
type Config struct {
	// Path of the file; its directory must exist. Required.
	Path string
	// Log gets migrations and clean-ups. Required.
	Log *slog.Logger
	// Now returns the time by which rows expire; nil means time.Now.
	Now func() time.Time
}

// Store is the open database: Reader and all methods that change it. It is safe for concurrent use.
type Store struct {
	*Reader
	path string
	log  *slog.Logger
}

const (
	fileMode = 0o600
	// maxConns bounds memory, not throughput: each connection has a page cache.
	maxConns = 4
)

// settings hold for every connection. WAL lets the old and the new process of a
// reload read while the other writes; NORMAL may lose the last commits when power
// fails, never the file. Transactions take the write lock at their start, so two
// of them cannot deadlock. 256 KiB of cache a connection keep the hub small.
const settings = "_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)" +
	"&_pragma=foreign_keys(1)&_pragma=cache_size(-256)&_pragma=trusted_schema(0)&_txlock=immediate"

// Open opens the database at c.Path, makes it when there is none and brings its
// tables up to date. It refuses a file that is damaged, that is not the hub's or
// that a newer version wrote, and leaves such a file as it is.
func Open(ctx context.Context, c Config) (*Store, error) {
	if c.Path == "" || c.Log == nil {
		return nil, errors.New("cannot open the database: Path and Log must be set")
	}
	path, err := filepath.Abs(c.Path)
	if err != nil {
		return nil, fmt.Errorf("database %q: %w", c.Path, err)
	}
	unlock, err := lock(ctx, path+".lock")
	if err != nil {
		return nil, fmt.Errorf("database %q: cannot lock it: %w", path, err)
	}
	defer unlock()
	if err := prepareFile(ctx, path); err != nil {
		return nil, err
	}
	s := &Store{Reader: &Reader{now: c.Now}, path: path, log: c.Log}
	if s.now == nil {
		s.now = time.Now
	}
	if s.db, err = openDB(path, settings); err != nil {
		return nil, fmt.Errorf("database %q: %w", path, err)
	}
	if err := s.migrate(ctx); err != nil {
		return nil, errors.Join(explain(path, err), s.db.Close())
	}
	return s, nil
}

// Close closes the file. Methods fail afterwards.
func (s *Store) Close() error { return s.db.Close() }

// Backup writes a consistent copy, mode 0600, to dest while the hub runs. It
// refuses a dest that exists.
func (s *Store) Backup(ctx context.Context, dest string) error {
	// VACUUM INTO takes an empty file, and so the mode is ours from the start.
	f, err := os.OpenFile(dest, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return fmt.Errorf("cannot back up the database: %w", err)
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("cannot back up the database to %q: %w", dest, err)
	}
	if _, err := s.db.ExecContext(ctx, `VACUUM INTO ?`, dest); err != nil {
		return errors.Join(fmt.Errorf("cannot back up the database to %q: %w", dest, err), os.Remove(dest))
	}
	return nil
}

// BackupTo writes a consistent copy to w while the hub runs. The copy is made beside the
// database, so that it needs no other place that the hub may write to, and removed.
func (s *Store) BackupTo(ctx context.Context, w io.Writer) (err error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.path), ".backup-")
	if err != nil {
		return fmt.Errorf("cannot back up the database: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	copied := filepath.Join(dir, "hub.sqlite")
	if err := s.Backup(ctx, copied); err != nil {
		return err
	}
	f, err := os.Open(copied)
	if err != nil {
		return fmt.Errorf("cannot read the copy of the database: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("cannot write the copy of the database: %w", err)
	}
	return nil
}

// openDB opens path with SQLite's URI parameters.
func openDB(path, params string) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: params}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(maxConns)
	db.SetMaxIdleConns(2)
	db.SetConnMaxIdleTime(time.Minute)
	return db, nil
}

// inTx runs f in a transaction that holds the write lock.
func (s *Store) inTx(ctx context.Context, f func(*sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

// tx is inTx with an act that errors name. The errors that callers branch on stay as they are.
func (s *Store) tx(ctx context.Context, what string, f func(*sql.Tx) error) error {
	err := s.inTx(ctx, f)
	if err == nil || errors.Is(err, ErrNotFound) || errors.Is(err, ErrExists) || errors.Is(err, ErrTooManyServers) {
		return err
	}
	return fmt.Errorf("cannot %s in the database: %w", what, err)
}

// exec runs one statement and returns the number of rows that it changed. what names
// the act in errors.
func (s *Store) exec(ctx context.Context, what, query string, args ...any) (int64, error) {
	res, err := s.db.ExecContext(ctx, query, args...)
	if err != nil {
		return 0, fmt.Errorf("cannot %s in the database: %w", what, err)
	}
	return res.RowsAffected()
}
