/**
 * The version of the package, which `main` prints. A test compares it with package.json.
 *
 * @since 0.1.0
 */
/** The version of the package. @since 0.1.0 @category constructors */
export const version = "0.1.0"
