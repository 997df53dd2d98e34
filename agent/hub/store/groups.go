package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"unicode"
	"unicode/utf8"

	"github.com/gifford-lab/gifford-hub/agent/ident"
)

// Source is where a membership of a group comes from.
type Source string

// The sources. Each is replaced as a whole without touching the others.
const (
	FromAPI      Source = "api"
	FromSettings Source = "settings"
	FromLogin    Source = "login" // the provider's claim and the host's Unix groups
)

// Group is a group of users.
type Group struct {
	Name       string
	Users      []ident.User // in order, each once, from all sources
	Properties map[string]any
}

// ExistsError says that a name is taken.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string { return fmt.Sprintf("%q exists already", e.Name) }

// Is makes every ExistsError an ErrExists.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// ErrExists says that such a row exists already.
var ErrExists = errors.New("it exists already")

// InvalidNameError says that a group's name is invalid.
type InvalidNameError struct{ Name, Problem string }

func (e *InvalidNameError) Error() string {
	return fmt.Sprintf("cannot use group name %.60q: %s", e.Name, e.Problem)
}

// maxGroupName is JupyterHub's (orm.py: Group.name).
const maxGroupName = 255

func checkGroupName(name string) error {
	switch {
	case name == "":
		return &InvalidNameError{name, "it is empty"}
	case len(name) > maxGroupName:
		return &InvalidNameError{name, fmt.Sprintf("it is longer than %d bytes", maxGroupName)}
	case !utf8.ValidString(name):
		return &InvalidNameError{name, "it is not UTF-8"}
	}
	for _, c := range name {
		if unicode.IsControl(c) {
			return &InvalidNameError{name, "it holds a control character"}
		}
	}
	return nil
}

// CreateGroups makes all the groups with their members, or none. *ExistsError and *InvalidNameError name the group at
// fault.
func (s *Store) CreateGroups(ctx context.Context, groups []Group) error {
	for _, g := range groups {
		if err := checkGroupName(g.Name); err != nil {
			return err
		}
	}
	return s.tx(ctx, "make the groups", func(tx *sql.Tx) error {
		for _, g := range groups {
			// A group that existed only for its members becomes one made on purpose.
			res, err := tx.ExecContext(ctx,
				`INSERT INTO user_groups (name, properties, kept, created) VALUES (?, ?, 1, ?)
				ON CONFLICT (name) DO UPDATE SET kept = 1, properties = excluded.properties WHERE kept = 0`,
				g.Name, object(g.Properties), micros(s.now()))
			if err != nil {
				return err
			}
			if n, err := res.RowsAffected(); err != nil || n == 0 {
				return errors.Join(err, &ExistsError{g.Name})
			}
			if err := join(ctx, tx, g.Name, g.Users, FromAPI); err != nil {
				return err
			}
		}
		return nil
	})
}

func join(ctx context.Context, tx *sql.Tx, group string, users []ident.User, from Source) error {
	for _, u := range users {
		if _, err := tx.ExecContext(ctx,
			`INSERT OR IGNORE INTO memberships (user_group, user, source) VALUES (?, ?, ?)`,
			group, u.String(), string(from)); err != nil {
			return err
		}
	}
	return nil
}

const groupColumns = `name, properties`

func (g *Group) dest() []any { return []any{&g.Name, objectCol{&g.Properties}} }

// Groups returns all groups with their members, the oldest first.
func (r *Reader) Groups(ctx context.Context) ([]Group, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT `+groupColumns+` FROM user_groups ORDER BY created, name`)
	if err != nil {
		return nil, fmt.Errorf("cannot list the groups in the database: %w", err)
	}
	all, err := collect(rows, (*Group).dest)
	if err != nil {
		return nil, err
	}
	for i := range all {
		if all[i].Users, err = r.Members(ctx, all[i].Name); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// GroupByName returns a group with its members or ErrNotFound.
func (r *Reader) GroupByName(ctx context.Context, name string) (Group, error) {
	var g Group
	err := r.queryRow(ctx, "look up the group", g.dest(), `SELECT `+groupColumns+` FROM user_groups WHERE name = ?`,
		name)
	if err != nil {
		return g, err
	}
	g.Users, err = r.Members(ctx, name)
	return g, err
}

// Members returns a group's users in order; none for an unknown group.
func (r *Reader) Members(ctx context.Context, group string) ([]ident.User, error) {
	rows, err := r.db.QueryContext(ctx, `SELECT DISTINCT user FROM memberships WHERE user_group = ? ORDER BY user`,
		group)
	if err != nil {
		return nil, fmt.Errorf("cannot list the members of group %q in the database: %w", group, err)
	}
	return collect(rows, func(u *ident.User) []any { return []any{userCol{u}} })
}

// GroupsOf returns the names of a user's groups in order.
func (r *Reader) GroupsOf(ctx context.Context, u ident.User) ([]string, error) {
	rows, err := r.db.QueryContext(ctx,
		`SELECT DISTINCT user_group FROM memberships WHERE user = ? ORDER BY user_group`, u.String())
	if err != nil {
		return nil, fmt.Errorf("cannot list the groups of user %q in the database: %w", u, err)
	}
	return collect(rows, func(name *string) []any { return []any{name} })
}

// DeleteGroup deletes a group with its memberships and the shares with it; ErrNotFound when it does not exist.
func (s *Store) DeleteGroup(ctx context.Context, name string) error {
	return s.tx(ctx, "delete the group", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM shares WHERE user_group = ?`, name); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `DELETE FROM user_groups WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrNotFound)
		}
		return nil
	})
}

// AddToGroup adds users to an existing group, for the API.
func (s *Store) AddToGroup(ctx context.Context, group string, users []ident.User) error {
	return s.tx(ctx, "add to the group", func(tx *sql.Tx) error { return join(ctx, tx, group, users, FromAPI) })
}

// RemoveFromGroup removes users from a group, whatever the source of the membership. The settings or the next sign-in
// may add them again.
func (s *Store) RemoveFromGroup(ctx context.Context, group string, users []ident.User) error {
	return s.tx(ctx, "remove from the group", func(tx *sql.Tx) error {
		for _, u := range users {
			if _, err := tx.ExecContext(ctx, `DELETE FROM memberships WHERE user_group = ? AND user = ?`, group,
				u.String()); err != nil {
				return err
			}
		}
		return nil
	})
}

// SetGroupProperties replaces a group's properties; ErrNotFound when it does not exist.
func (s *Store) SetGroupProperties(ctx context.Context, group string, properties map[string]any) error {
	n, err := s.exec(ctx, "save the group", `UPDATE user_groups SET properties = ? WHERE name = ?`, object(properties),
		group)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// SetMemberships replaces the groups in which a user is by one source. Groups are made as
// needed; one that nobody made on purpose goes with its last member.
func (s *Store) SetMemberships(ctx context.Context, u ident.User, from Source, groups []string) error {
	return s.tx(ctx, "save the user's groups", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM memberships WHERE user = ? AND source = ?`, u.String(),
			string(from)); err != nil {
			return err
		}
		for _, g := range groups {
			if checkGroupName(g) != nil {
				continue // an invalid group of the provider is ignored
			}
			if _, err := tx.ExecContext(ctx,
				`INSERT OR IGNORE INTO user_groups (name, properties, kept, created) VALUES (?, '{}', 0, ?)`, g,
				micros(s.now())); err != nil {
				return err
			}
			if err := join(ctx, tx, g, []ident.User{u}, from); err != nil {
				return err
			}
		}
		return dropEmpty(ctx, tx)
	})
}

func dropEmpty(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx,
		`DELETE FROM user_groups WHERE kept = 0 AND name NOT IN (SELECT user_group FROM memberships)`)
	return err
}

// DeclareGroups applies the settings' groups: their members by the settings become exactly these, and their properties
// too.
func (s *Store) DeclareGroups(ctx context.Context, groups []Group) error {
	for _, g := range groups {
		if err := checkGroupName(g.Name); err != nil {
			return err
		}
	}
	return s.tx(ctx, "save the groups of the settings", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM memberships WHERE source = ?`, string(FromSettings)); err != nil {
			return err
		}
		for _, g := range groups {
			if _, err := tx.ExecContext(ctx,
				`INSERT INTO user_groups (name, properties, kept, created) VALUES (?, ?, 1, ?)
				ON CONFLICT (name) DO UPDATE SET properties = CASE WHEN excluded.properties = '{}' THEN
					user_groups.properties ELSE excluded.properties END, kept = 1`,
				g.Name, object(g.Properties), micros(s.now())); err != nil {
				return err
			}
			if err := join(ctx, tx, g.Name, g.Users, FromSettings); err != nil {
				return err
			}
		}
		return dropEmpty(ctx, tx)
	})
}
