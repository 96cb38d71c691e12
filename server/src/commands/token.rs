//! `tarn token`

use super::{Context, Outcome};
use crate::cli::Token;
use crate::failure::Failure;
use crate::home::Home;
use crate::output::text_table;
use tarn_schemas::{ErrorCode, Principal};

/// Makes, lists and revokes tokens.
pub(crate) async fn run(context: &Context, args: Token) -> Result<(), Outcome> {
    let home = Home::open(context.home.as_deref()).await?;
    match args {
        Token::Create { name, scope, days } => {
            let secret =
                home.catalog.create_token(&Principal::Owner, &name, scope.into(), days).await?;
            if context.json {
                say!("{}", serde_json::json!({"name": name, "token": secret, "days": days}));
            } else {
                say!("{secret}");
            }
            context.note(format_args!(
                "This is the only time the token of {name} is shown. It expires in {days} days; \
                 revoke it with `tarn token revoke {name}`."
            ));
        }
        Token::List => {
            let tokens = home.catalog.tokens(&Principal::Owner).await?;
            if context.json {
                say!("{}", serde_json::json!(tokens));
            } else {
                let rows = tokens.iter().map(|token| {
                    let state = token.revoked_at.as_ref().map_or("valid", |_| "revoked");
                    vec![
                        token.id.clone(),
                        token.name.clone(),
                        format!("{:?}", token.scope).to_lowercase(),
                        state.to_owned(),
                        token.created_at.clone(),
                        token.expires_at.clone(),
                        token.made_by.clone(),
                    ]
                });
                say_part!(
                    "{}",
                    text_table(
                        &["id", "name", "scope", "state", "created", "expires", "made by"],
                        rows
                    )
                );
            }
        }
        Token::Revoke { token } => {
            let revoked = home.catalog.revoke_token(&Principal::Owner, &token).await?;
            if revoked == 0 {
                return Err(Failure::new(
                    ErrorCode::NotFound,
                    format!("no valid token {token:?}; see `tarn token list`"),
                )
                .into());
            }
            context.note(format_args!("Revoked {revoked} token(s)."));
        }
    }
    Ok(())
}
