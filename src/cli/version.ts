/** Version of the package; a test compares it with package.json. @since 0.1.0 @category constructors */
export const version = "0.1.0"
