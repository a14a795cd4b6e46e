//! The inference routes: one table of what each of them is. Pure, so that settings, edge, exchange
//! and engine mean the same by a route.

/// A route that has the engine do work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// OpenAI's chat.
    Chat,
    /// OpenAI's text completions.
    Completions,
    /// OpenAI's embeddings.
    Embeddings,
    /// OpenAI's Responses.
    Responses,
    /// Anthropic's Messages.
    Messages,
    /// Documents in the order in which they fit a query.
    Rerank,
    /// How well texts fit.
    Score,
    /// A text as tokens.
    Tokenize,
    /// Tokens as a text.
    Detokenize,
    /// Speech as text.
    Transcriptions,
    /// An image of a text.
    ImageGenerations,
    /// An image changed.
    ImageEdits,
    /// An image in other forms.
    ImageVariations,
}

/// The shape of an engine's usage, and of its streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `prompt_tokens` and `completion_tokens`; a stream of chunks that ends with `[DONE]`.
    Completions,
    /// OpenAI's Responses: `input_tokens` and `output_tokens`; a stream of typed events.
    Responses,
    /// Anthropic's: `input_tokens` beside what the cache had; a stream of typed events.
    Messages,
    /// `prompt_tokens` or `total_tokens`; never streamed.
    Pooling,
    /// Tokens, if the engine counts any; of these only transcriptions are streamed, in chunks that
    /// end with `[DONE]`.
    Media,
    /// Nothing is counted.
    Uncounted,
}

/// A row of the table.
struct Row {
    path: &'static str,
    engine_path: &'static str,
    dialect: Dialect,
    is_multipart: bool,
}

impl Row {
    const fn new(path: &'static str, dialect: Dialect) -> Self {
        Self { path, engine_path: path, dialect, is_multipart: false }
    }

    const fn multipart(path: &'static str) -> Self {
        Self { is_multipart: true, ..Self::new(path, Dialect::Media) }
    }
}

impl Route {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
        Self::Rerank,
        Self::Score,
        Self::Tokenize,
        Self::Detokenize,
        Self::Transcriptions,
        Self::ImageGenerations,
        Self::ImageEdits,
        Self::ImageVariations,
    ];

    /// Those that are served unless the host says otherwise: what every engine counts in tokens.
    pub const BY_DEFAULT: [Self; 7] = [
        Self::Chat,
        Self::Completions,
        Self::Embeddings,
        Self::Responses,
        Self::Messages,
        Self::Rerank,
        Self::Score,
    ];

    const fn row(self) -> Row {
        use Dialect::{Completions, Media, Messages, Pooling, Responses, Uncounted};
        match self {
            Self::Chat => Row::new("/v1/chat/completions", Completions),
            Self::Completions => Row::new("/v1/completions", Completions),
            Self::Embeddings => Row::new("/v1/embeddings", Pooling),
            Self::Responses => Row::new("/v1/responses", Responses),
            Self::Messages => Row::new("/v1/messages", Messages),
            Self::Rerank => Row::new("/v1/rerank", Pooling),
            Self::Score => Row::new("/v1/score", Pooling),
            // vLLM has these two outside of /v1.
            Self::Tokenize => {
                Row { engine_path: "/tokenize", ..Row::new("/v1/tokenize", Uncounted) }
            }
            Self::Detokenize => {
                Row { engine_path: "/detokenize", ..Row::new("/v1/detokenize", Uncounted) }
            }
            Self::Transcriptions => Row::multipart("/v1/audio/transcriptions"),
            Self::ImageGenerations => Row::new("/v1/images/generations", Media),
            Self::ImageEdits => Row::multipart("/v1/images/edits"),
            Self::ImageVariations => Row::multipart("/v1/images/variations"),
        }
    }

    /// The path here, which receipts name as `endpoint`.
    pub const fn path(self) -> &'static str {
        self.row().path
    }

    /// The path at the engine.
    pub const fn engine_path(self) -> &'static str {
        self.row().engine_path
    }

    /// How the engine answers.
    pub const fn dialect(self) -> Dialect {
        self.row().dialect
    }

    /// The body is a form with files in it instead of a JSON object.
    pub const fn is_multipart(self) -> bool {
        self.row().is_multipart
    }

    /// Whether an answer may be streamed.
    pub const fn streams(self) -> bool {
        use Dialect::{Completions, Messages, Responses};
        let is_media = matches!(self, Self::Transcriptions);
        is_media || matches!(self.dialect(), Completions | Responses | Messages)
    }

    /// Whether an engine may remember what it computed for the beginning of a prompt, and has
    /// `cache_salt` to tell whose it is.
    pub const fn takes_salt(self) -> bool {
        !matches!(self.dialect(), Dialect::Media | Dialect::Uncounted)
    }

    /// The name in `service.routes`, and behind `/v1` or `/v1/proxy`.
    pub fn name(self) -> &'static str {
        self.path().trim_start_matches("/v1/")
    }

    /// The route of this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|route| route.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_route_has_a_path_of_its_own_and_is_found_by_its_name() {
        let paths: BTreeSet<_> = Route::ALL.iter().map(|route| route.path()).collect();
        assert_eq!(paths.len(), Route::ALL.len());
        for route in Route::ALL {
            assert_eq!(Route::named(route.name()), Some(route));
            assert_eq!(format!("/v1/{}", route.name()), route.path());
        }
        assert_eq!(Route::named("models"), None);
    }

    #[test]
    fn what_is_served_unasked_is_counted_in_tokens() {
        for route in Route::BY_DEFAULT {
            assert!(!matches!(route.dialect(), Dialect::Uncounted | Dialect::Media), "{route:?}");
        }
    }
}
