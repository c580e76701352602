//! Finds which file of a package uses which. Reads the modules from `lib.rs` on, except for what is compiled only for tests.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, Item, UseTree,
    visit::{self, Visit},
};

/// The modules of a package, by path: `["network", "layers"]`.
pub(crate) struct Package {
    modules: BTreeMap<Vec<String>, Module>,
}

#[derive(Default)]
struct Module {
    /// The file, relative to the folder of `lib.rs`.
    file: String,
    /// The paths that imported names stand for.
    aliases: BTreeMap<String, Vec<String>>,
    /// The modules from which all names are imported.
    globs: Vec<Vec<String>>,
    /// The paths that the code uses.
    paths: Vec<Vec<String>>,
}

/// A file, and another that it uses.
pub(crate) type Use = (String, String);

impl Package {
    /// Reads the package whose `lib.rs` is in `folder`.
    ///
    /// # Panics
    /// Panics if a file cannot be read as Rust.
    pub(crate) fn read(folder: &Path) -> Self {
        let root = if folder.join("lib.rs").exists() { "lib.rs" } else { "main.rs" };
        Self::from_sources(root, &|file| std::fs::read_to_string(folder.join(file)).ok())
    }

    /// Reads a package whose sources are returned by `source`, given the file.
    pub(crate) fn from_sources(root: &str, source: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut package = Self { modules: BTreeMap::new() };
        package.add(source, Vec::new(), root);
        package
    }

    fn add(&mut self, source: &dyn Fn(&str) -> Option<String>, path: Vec<String>, file: &str) {
        let text = source(file).unwrap_or_else(|| panic!("`{file}` is declared but does not exist"));
        let syntax = syn::parse_file(&text).unwrap_or_else(|error| panic!("`{file}`: {error}"));
        self.add_items(source, path, file, &syntax.items);
    }

    fn add_items(&mut self, source: &dyn Fn(&str) -> Option<String>, path: Vec<String>, file: &str, items: &[Item]) {
        let mut module = Module { file: file.to_owned(), ..Module::default() };
        let mut used = Used::default();
        for item in items {
            match item {
                Item::Mod(inner) if !is_for_tests(&inner.attrs) => {
                    let inner_path = [&path[..], &[inner.ident.to_string()]].concat();
                    match &inner.content {
                        Some((_, items)) => self.add_items(source, inner_path, file, items),
                        None => self.add(source, inner_path, &file_of(source, file, &inner.ident.to_string())),
                    }
                }
                Item::Use(item) if !is_for_tests(&item.attrs) => {
                    let is_facade = !matches!(item.vis, syn::Visibility::Inherited);
                    module.import(&item.tree, &mut Vec::new(), is_facade);
                }
                Item::Macro(item) if item.attrs.iter().any(|one| one.path().is_ident("macro_export")) => {
                    let name = item.ident.as_ref().expect("an exported macro has a name").to_string();
                    let here = [&["crate".to_owned()][..], &path, std::slice::from_ref(&name)].concat();
                    self.modules.entry(Vec::new()).or_default().aliases.insert(name, here);
                    used.visit_item_macro(item);
                }
                item => used.visit_item(item),
            }
        }
        module.paths.extend(used.paths);
        let slot = self.modules.entry(path).or_default();
        module.aliases.append(&mut slot.aliases);
        *slot = module;
    }

    /// Returns which file uses which. A re-export, `pub use`, is followed, but is not a use itself.
    pub(crate) fn uses(&self) -> BTreeSet<Use> {
        let mut uses = BTreeSet::new();
        for (path, module) in &self.modules {
            for used in &module.paths {
                if let Some(file) = self.file_of(path, used, &mut BTreeSet::new())
                    && file != module.file
                {
                    uses.insert((module.file.clone(), file));
                }
            }
        }
        uses
    }

    /// Returns the file that defines `path`, as seen from the module `from`. `None` if it is not in this package.
    fn file_of(&self, from: &[String], path: &[String], seen: &mut BTreeSet<(Vec<String>, String)>) -> Option<String> {
        let mut at = from.to_vec();
        for (i, name) in path.iter().enumerate() {
            let rest = &path[i + 1..];
            match name.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let module = &self.modules[&at];
                    let inner = [&at[..], &[name.to_owned()]].concat();
                    if self.modules.contains_key(&inner) {
                        at = inner;
                        continue;
                    }
                    if !seen.insert((at.clone(), name.to_owned())) {
                        return Some(module.file.clone());
                    }
                    if let Some(alias) = module.aliases.get(name) {
                        return self.file_of(&at, &[alias, rest].concat(), seen);
                    }
                    let through = |glob: &Vec<String>| {
                        let path = [glob, &path[i..]].concat();
                        self.file_of(&at, &path, &mut seen.clone()).filter(|_| self.has(&at, glob, name))
                    };
                    if let Some(file) = module.globs.iter().find_map(through) {
                        return Some(file);
                    }
                    // The first name may be that of another package, or in the prelude.
                    return (i > 0).then(|| module.file.clone());
                }
            }
        }
        Some(self.modules[&at].file.clone())
    }

    /// Returns whether the module `glob`, as seen from `from`, has a module or an alias called `name`.
    fn has(&self, from: &[String], glob: &[String], name: &str) -> bool {
        let mut at = from.to_vec();
        for part in glob {
            match part.as_str() {
                "crate" => at.clear(),
                "self" => {}
                "super" => drop(at.pop()),
                part => at.push(part.to_owned()),
            }
        }
        let inner = [&at[..], &[name.to_owned()]].concat();
        self.modules.contains_key(&inner)
            || self.modules.get(&at).is_some_and(|module| module.aliases.contains_key(name))
    }

    /// Returns the groups of files in which each file uses all others, directly or through other files.
    pub(crate) fn circles(&self) -> Vec<BTreeSet<String>> {
        let uses = self.uses();
        let files: BTreeSet<&String> = uses.iter().flat_map(|(from, to)| [from, to]).collect();
        let reached = |start: &String| {
            let mut reached = BTreeSet::new();
            let mut next = vec![start];
            while let Some(file) = next.pop() {
                let of_file = uses.iter().filter(|(from, _)| from == file).map(|(_, to)| to);
                next.extend(of_file.filter(|to| reached.insert(to.to_string())));
            }
            reached
        };
        let reached: BTreeMap<&String, BTreeSet<String>> = files.iter().map(|file| (*file, reached(file))).collect();
        let circle = |file: &&String| -> BTreeSet<String> {
            let both = |other: &&String| reached[*file].contains(*other) && reached[*other].contains(*file);
            files.iter().copied().filter(both).cloned().collect()
        };
        let circles: BTreeSet<_> = files.iter().map(circle).filter(|circle| !circle.is_empty()).collect();
        circles.into_iter().collect()
    }
}

impl Module {
    /// Adds the imports of a `use`. `before` has the names before `tree`.
    fn import(&mut self, tree: &UseTree, before: &mut Vec<String>, is_facade: bool) {
        let mut alias = |name: String, path: Vec<String>| {
            if !is_facade {
                self.paths.push(path.clone());
            }
            self.aliases.insert(name, path);
        };
        match tree {
            UseTree::Path(tree) => {
                before.push(tree.ident.to_string());
                self.import(&tree.tree, before, is_facade);
                before.pop();
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                alias(before.last().expect("a path before `self`").clone(), before.clone());
            }
            UseTree::Name(tree) => alias(tree.ident.to_string(), [&before[..], &[tree.ident.to_string()]].concat()),
            UseTree::Rename(tree) if tree.ident == "self" => alias(tree.rename.to_string(), before.clone()),
            UseTree::Rename(tree) => {
                alias(tree.rename.to_string(), [&before[..], &[tree.ident.to_string()]].concat());
            }
            UseTree::Glob(_) => {
                if !is_facade {
                    self.paths.push(before.clone());
                }
                self.globs.push(before.clone());
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(tree, before, is_facade)),
        }
    }
}

/// Returns the file of the module `name` that is declared in `file`.
fn file_of(source: &dyn Fn(&str) -> Option<String>, file: &str, name: &str) -> String {
    let file = Path::new(file);
    let is_root = matches!(file.file_name().and_then(|name| name.to_str()), Some("lib.rs" | "main.rs" | "mod.rs"));
    let folder = if is_root { file.parent().map(PathBuf::from) } else { Some(file.with_extension("")) };
    let folder = folder.unwrap_or_default();
    let text = |path: PathBuf| path.to_str().expect("file names are text").to_owned();
    let alone = text(folder.join(format!("{name}.rs")));
    if source(&alone).is_some() { alone } else { text(folder.join(name).join("mod.rs")) }
}

/// Returns whether an item is compiled only for tests.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg")
                && attribute.parse_args::<syn::Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}

/// The paths in code, macros and the strings of attributes.
#[derive(Default)]
struct Used {
    paths: Vec<Vec<String>>,
}

impl Used {
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && !path.is_empty() => colons += 1,
                TokenTree::Punct(_) => self.end(&mut path),
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                }
                TokenTree::Literal(literal) => {
                    self.end(&mut path);
                    let text = literal.to_string();
                    if let Some(text) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'))
                        && text.contains("::")
                        && let Ok(path) = syn::parse_str::<syn::Path>(text)
                    {
                        self.visit_path(&path);
                    }
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.paths.push(path);
        }
    }
}

impl<'ast> Visit<'ast> for Used {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Mod(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) {
            visit::visit_impl_item_fn(self, item);
        }
    }

    /// Adds the paths of a `use` inside a function. The names that it imports are not followed.
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut inner = Module::default();
        inner.import(&item.tree, &mut Vec::new(), false);
        self.paths.extend(inner.paths);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.paths.push(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        self.visit_path(&item.path);
        self.tokens(item.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }
}
